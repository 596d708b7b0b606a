/** What every page has: navigation, buttons, states, errors. */

import { plural } from '../entry';

export const common = {
  'app.name': 'PhotoSync',
  'app.description': 'Your photos, on your own server.',

  'title.page': '{page} · PhotoSync',
  'title.uploading': '{part} · {title}',

  'state.loading': 'Loading',

  'date.today': 'Today',
  'date.yesterday': 'Yesterday',

  'photos.count': plural('{n} photo', '{n} photos'),

  'nav.label': 'Main',
  'nav.skip': 'Skip to content',
  'nav.home': 'All photos',
  'nav.photos': 'Photos',
  'nav.albums': 'Albums',
  'nav.favourites': 'Favourites',
  'nav.videos': 'Videos',
  'nav.archive': 'Archive',
  'nav.trash': 'Trash',
  'nav.devices': 'Devices',
  'nav.pair': 'Connect a phone',
  'nav.account': 'Account',
  'nav.more': 'More',
  'nav.admin': 'Server',

  'action.add_to_album': 'Add to album',
  'action.archive': 'Archive',
  'action.unarchive': 'Back to photos',
  'action.back': 'Back',
  'action.cancel': 'Cancel',
  'action.close': 'Close',
  'action.create': 'Create',
  'action.dismiss': 'Dismiss',
  'action.done': 'Done',
  'action.download': 'Download',
  'action.favourite': 'Favourite',
  'action.more': 'More',
  'action.restore': 'Restore',
  'action.retry': 'Try again',
  'action.save': 'Save',
  'action.trash': 'Move to trash',
  'action.undo': 'Undo',

  'done.added': plural('{n} photo added to {name}', '{n} photos added to {name}'),
  'done.cover': 'It is the cover now',
  'done.archived': plural('{n} photo archived', '{n} photos archived'),
  'done.unarchived': plural('{n} photo is back among your photos', '{n} photos are back among your photos'),
  'done.trashed': plural('{n} photo moved to the trash', '{n} photos moved to the trash'),
  'done.restored': plural('{n} photo restored', '{n} photos restored'),
  'done.emptied': plural('{n} photo will be removed for good', '{n} photos will be removed for good'),
  'done.taken_out': plural('{n} photo taken out of the album', '{n} photos taken out of the album'),

  'theme.auto': 'Automatic',
  'theme.light': 'Light',
  'theme.dark': 'Dark',

  'role.admin': 'Administrator',
  'role.creator': 'Creator',
  'role.member': 'Member',
  'role.viewer': 'Viewer',
  'role.admin_text': 'Their own library, and everything on these pages.',
  'role.creator_text': 'Their own library. The usual choice.',
  'role.member_text': 'Their own library, shared with nobody.',
  'role.viewer_text': 'Looks at and downloads what is there, and adds nothing.',

  'error.quota': 'This account has used all the storage it may use. Nothing was lost, but nothing more is stored.',
  'error.not_allowed': 'Your account may not do this.',
  'error.title': 'That did not work',
  'error.offline': 'The server did not answer. Is it running, and are you in its network?',
  'error.server': 'The server said: {reason}.',
  'error.slow_down': 'Too many attempts. Wait a few minutes.',
  'error.storage_full': 'The disk of the server is full. Nothing was lost, but nothing more can be stored.',
  'error.not_found': 'It is no longer there.',
  'error.unknown': 'Something unexpected happened. Loading the page again may help.',
  'error.no_page': 'There is no such page',
  'error.no_page_text': 'The address may be mistyped.'
};
