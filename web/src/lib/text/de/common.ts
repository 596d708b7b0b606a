/** German of en/common.ts. */

import type { common as english } from '../en/common';
import { plural, type Entry } from '../entry';

export const common: Record<keyof typeof english, Entry> = {
  'app.name': 'PhotoSync',
  'app.description': 'Deine Fotos, auf deinem eigenen Server.',

  'title.page': '{page} · PhotoSync',
  'title.uploading': '{part} · {title}',

  'state.loading': 'Wird geladen',

  'date.today': 'Heute',
  'date.yesterday': 'Gestern',

  'photos.count': plural('{n} Foto', '{n} Fotos'),

  'nav.label': 'Hauptmenü',
  'nav.skip': 'Zum Inhalt springen',
  'nav.home': 'Alle Fotos',
  'nav.photos': 'Fotos',
  'nav.albums': 'Alben',
  'nav.favourites': 'Favoriten',
  'nav.videos': 'Videos',
  'nav.archive': 'Archiv',
  'nav.trash': 'Papierkorb',
  'nav.devices': 'Geräte',
  'nav.pair': 'Handy verbinden',
  'nav.account': 'Konto',
  'nav.more': 'Mehr',
  'nav.admin': 'Server',

  'action.add_to_album': 'Zu Album hinzufügen',
  'action.archive': 'Archivieren',
  'action.unarchive': 'Zurück zu den Fotos',
  'action.back': 'Zurück',
  'action.cancel': 'Abbrechen',
  'action.close': 'Schließen',
  'action.create': 'Anlegen',
  'action.dismiss': 'Ausblenden',
  'action.done': 'Fertig',
  'action.download': 'Herunterladen',
  'action.favourite': 'Favorit',
  'action.more': 'Mehr',
  'action.restore': 'Wiederherstellen',
  'action.retry': 'Noch einmal versuchen',
  'action.save': 'Speichern',
  'action.trash': 'In den Papierkorb',
  'action.undo': 'Rückgängig',

  'done.added': plural('{n} Foto zu {name} hinzugefügt', '{n} Fotos zu {name} hinzugefügt'),
  'done.cover': 'Es ist jetzt das Titelbild',
  'done.archived': plural('{n} Foto archiviert', '{n} Fotos archiviert'),
  'done.unarchived': plural('{n} Foto ist wieder bei den Fotos', '{n} Fotos sind wieder bei den Fotos'),
  'done.trashed': plural('{n} Foto liegt im Papierkorb', '{n} Fotos liegen im Papierkorb'),
  'done.restored': plural('{n} Foto wiederhergestellt', '{n} Fotos wiederhergestellt'),
  'done.emptied': plural('{n} Foto wird endgültig entfernt', '{n} Fotos werden endgültig entfernt'),
  'done.taken_out': plural('{n} Foto aus dem Album genommen', '{n} Fotos aus dem Album genommen'),

  'theme.auto': 'Automatisch',
  'theme.light': 'Hell',
  'theme.dark': 'Dunkel',

  'role.admin': 'Verwalter',
  'role.creator': 'Gestalter',
  'role.member': 'Mitglied',
  'role.viewer': 'Betrachter',
  'role.admin_text': 'Eigene Bibliothek und alles auf diesen Seiten.',
  'role.creator_text': 'Eigene Bibliothek. Das Übliche.',
  'role.member_text': 'Eigene Bibliothek, mit niemandem geteilt.',
  'role.viewer_text': 'Sieht an und lädt herunter, was da ist, und fügt nichts hinzu.',

  'error.quota': 'Dieses Konto hat seinen ganzen Speicherplatz belegt. Nichts ging verloren, aber es wird nichts mehr gespeichert.',
  'error.not_allowed': 'Dein Konto darf das nicht.',
  'error.title': 'Das hat nicht geklappt',
  'error.offline': 'Der Server hat nicht geantwortet. Läuft er, und bist du in seinem Netz?',
  'error.server': 'Der Server sagt: {reason}.',
  'error.slow_down': 'Zu viele Versuche. Warte ein paar Minuten.',
  'error.storage_full': 'Die Festplatte des Servers ist voll. Nichts ging verloren, aber es passt nichts mehr darauf.',
  'error.not_found': 'Das gibt es nicht mehr.',
  'error.unknown': 'Etwas Unerwartetes ist passiert. Vielleicht hilft es, die Seite neu zu laden.',
  'error.no_page': 'Diese Seite gibt es nicht',
  'error.no_page_text': 'Vielleicht ist die Adresse vertippt.'
};
