/** The own account, its devices, and the doors by which people come in. */

import { plural } from '../entry';

export const people = {
  'storage.held': plural('{n} original, {size}', '{n} originals, {size}'),
  'storage.free': '{size} free',
  'storage.waiting': plural('Preparing {n} preview', 'Preparing {n} previews'),
  'storage.of_quota': '{used} of {quota} used',

  'safety.known': 'Not whole here',
  'safety.received': 'Received and stored',
  'safety.verified': 'Stored and verified',
  'safety.second_copy': 'Verified, with a second copy',

  'devices.this': 'This browser',
  'devices.complete': 'Everything backed up {when}',
  'devices.overdue': 'Last complete backup {when}',
  'devices.never': 'Has never completed a backup',
  'devices.seen': 'Last seen {when}',
  'devices.since': 'Signed in since {when}',
  'devices.revoke': 'Sign out',
  'devices.revoke_title': 'Sign out {name}?',
  'devices.revoke_text': 'It has to be connected again before it can back up. Its photos stay here.',
  'devices.revoked': '{name} is signed out',

  'pair.qr': 'QR code for the phone',
  'pair.step_app': 'Open PhotoSync on the phone.',
  'pair.step_scan': 'Choose “Connect to server” and scan this picture.',
  'pair.step_code': 'No camera at hand? Type this code instead:',
  'pair.code': 'Code',
  'pair.left': 'Good for another {time}',

  'account.sign_out': 'Sign out',
  'account.sign_out_title': 'Sign out and stop uploading?',
  'account.sign_out_text': plural(
    '{n} file has not arrived yet. Nobody else shall find it in this browser, so it is given up.',
    '{n} files have not arrived yet. Nobody else shall find them in this browser, so they are given up.'
  ),
  'account.look': 'Appearance',
  'account.theme': 'Theme',
  'account.language': 'Language',
  'account.everything': 'A copy of everything',
  'account.everything_text': plural(
    'One archive with your {n} original, {size}.',
    'One archive with all your {n} originals, {size}.'
  ),
  'account.download': 'Download everything',
  'account.name': 'Your name',
  'account.name_hint': 'What the people of this server see. Nothing depends on it.',
  'account.saved': 'Saved',
  'account.password': 'Password',
  'account.password_old': 'Password so far',
  'account.password_new': 'New password',
  'account.password_change': 'Change password',
  'account.password_set': 'Set a password',
  'account.password_none': 'You came in by a link and have no password yet.',
  'account.password_text': 'Other browsers are signed out and have to use the new password. Phones and computers go on backing up.',
  'account.password_devices': 'Sign out phones and computers too, because somebody may know the old password',
  'account.password_wrong': 'The password so far is not right. Nothing was changed.',
  'account.password_changed': plural(
    'The new password holds. {n} other session was signed out.',
    'The new password holds. {n} other sessions were signed out.'
  ),
  'account.password_changed_alone': 'The new password holds.',
  'account.browsers': 'Browsers',
  'account.browsers_text': 'Where you are signed in with a browser. Phones and computers are on the page “Devices”.',
  'account.browser_out': 'Sign out {name}',
  'account.elsewhere': 'Sign out everywhere else',
  'account.elsewhere_text': 'Every other browser is signed out. This one stays.',
  'account.elsewhere_devices': 'Phones and computers too. They must be connected again before they back up.',
  'account.elsewhere_done': plural('{n} session was signed out', '{n} sessions were signed out'),
  'account.elsewhere_none': 'Nobody else was signed in',

  'invitation.title': 'Welcome',
  'invitation.text': 'Choose a password for {email}. With it you sign in here and in the app.',
  'invitation.again_title': 'A new password',
  'invitation.again_text': 'Choose a new password for {email}. Everything that is signed in has to sign in again.',
  'invitation.button': 'Set password and sign in',

  'door.sign_in': 'Sign in',
  'door.email': 'E-mail',
  'door.password': 'Password',
  'door.enter': 'Sign in',
  'door.entering': 'Signing in …',
  'door.refused': 'E-mail and password do not belong together.',
  'door.show': 'Show',
  'door.hide': 'Hide',
  'door.caps': 'Caps Lock is on.',
  'door.server': '{name} · version {version}',
  'door.plain':
    'This page came over plain HTTP. That is fine in your own network; over HTTPS uploads are prepared faster and the app can be installed.',

  'setup.title': 'Welcome',
  'setup.text': 'Create your account. You can invite others later.',
  'setup.code': 'Code from the server',
  'setup.code_hint': 'The server printed it when it started: see its window or its log.',
  'setup.password_hint': 'At least {n} characters. A short sentence is good.',
  'setup.create': 'Create account',
  'setup.wrong_code': 'That is not the code the server printed.',

  'link.title': 'Sign in by link',
  'link.text': 'This link signs you in once, on this browser.',
  'link.refused': 'This link was used before or has expired. Ask for a new one.'
};
