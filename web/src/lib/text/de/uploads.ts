/** German of en/uploads.ts. */

import type { uploads as english } from '../en/uploads';
import { plural, type Entry } from '../entry';

export const uploads: Record<keyof typeof english, Entry> = {
  'upload.button': 'Hochladen',
  'upload.more': 'Fotos hinzufügen',
  'upload.files': 'Fotos auswählen',
  'upload.folder': 'Ordner auswählen',
  'upload.camera': 'Foto aufnehmen',
  'upload.drop': 'Zum Hochladen loslassen',
  'upload.label': 'Hochladen',
  'upload.running': '{done} von {total} hochgeladen',
  'upload.paused': 'Angehalten: {done} von {total}',
  'upload.finished': plural('{n} Datei ist sicher', '{n} Dateien sind sicher'),
  'upload.failed': plural('{n} Datei wurde nicht gespeichert', '{n} Dateien wurden nicht gespeichert'),
  'upload.absent': plural('{n} Datei ist unfertig', '{n} Dateien sind unfertig'),
  'upload.absent_text': plural(
    'Diese Datei wurde gesendet, als die Seite geschlossen wurde. Wähle sie noch einmal, dann geht es dort weiter.',
    'Diese {n} Dateien wurden gesendet, als die Seite geschlossen wurde. Wähle sie noch einmal, dann geht es dort weiter.'
  ),
  'upload.choose_again': 'Noch einmal auswählen',
  'upload.speed': '{size}/s',
  'upload.left': 'noch {time}',
  'upload.pause': 'Anhalten',
  'upload.resume': 'Fortsetzen',
  'upload.show': 'Dateien zeigen',
  'upload.hide': 'Dateien ausblenden',
  'upload.retry': '{name} noch einmal versuchen',
  'upload.retry_all': 'Alle noch einmal versuchen',
  'upload.remove': '{name} entfernen',
  'upload.cancel': 'Hochladen beenden',
  'upload.cancel_title': 'Hochladen beenden?',
  'upload.cancel_text': plural('{n} Datei ist noch nicht angekommen.', '{n} Dateien sind noch nicht angekommen.'),
  'upload.further': plural('und {n} weitere', 'und {n} weitere'),
  'upload.state_queued': 'Wartet',
  'upload.state_hashing': 'Wird gelesen',
  'upload.state_asking': 'Wird abgeglichen',
  'upload.state_uploading': 'Wird gesendet',
  'upload.state_waiting': 'Bereit zum Senden',
  'upload.state_done': 'Sicher auf deinem Server',
  'upload.state_duplicate': 'War schon da',
  'upload.state_failed': 'Nicht gespeichert',
  'upload.state_absent': 'Noch einmal auswählen',

  'pwa.new_version': 'Eine neue Version von PhotoSync ist da.',
  'pwa.after_uploads': 'Die Seite lädt sie, sobald alles hochgeladen ist.',
  'pwa.reload': 'Neu laden',
  'pwa.install': 'App installieren',
  'pwa.install_text': 'Sie bekommt ein eigenes Fenster und Symbol, und andere Apps können Fotos mit ihr teilen.',
  'pwa.install_apple': 'Zum Installieren im Teilen-Menü des Browsers „Zum Home-Bildschirm“ wählen.',
  'pwa.offline': 'Der Server ist nicht erreichbar',
  'pwa.offline_text':
    'Du siehst den Teil von PhotoSync, der auf diesem Gerät liegt. Fotos, Alben und die Suche sind auf dem Server: Nichts ist verloren, aber zeigen lässt es sich erst, wenn er wieder antwortet.',
  'pwa.offline_waiting': plural(
    '{n} Datei wartet auf diesem Gerät und wird dann gesendet.',
    '{n} Dateien warten auf diesem Gerät und werden dann gesendet.'
  ),
  'pwa.offline_again': 'Diese Seite versucht es weiter und kommt von selbst zurück.',

  'shared.title': plural('{n} geteiltes Foto aufnehmen?', '{n} geteilte Fotos aufnehmen?'),
  'shared.text': 'Eine andere App hat das mit PhotoSync geteilt. Gesendet wird nichts, bevor du zustimmst.',
  'shared.add': 'Aufnehmen',
  'shared.discard': 'Verwerfen',
  'shared.further': plural('und {n} weiteres', 'und {n} weitere'),
  'shared.stored': plural('{n} geteiltes Foto ist gesichert', '{n} geteilte Fotos sind gesichert'),
  'shared.known': plural('{n} geteiltes Foto war schon da', '{n} geteilte Fotos waren schon da'),
  'shared.refused': plural(
    '{n} geteiltes Foto wurde nicht gespeichert: {reason}',
    '{n} geteilte Fotos wurden nicht gespeichert: {reason}'
  ),
  'shared.nothing': 'In dem, was geteilt wurde, war kein Foto.',
  'shared.lost': 'Die geteilten Fotos konnten auf diesem Gerät nicht aufbewahrt werden. Wähle sie stattdessen mit „Hochladen“ aus.',
  'shared.unknown':
    'Die geteilten Fotos wurden nicht gespeichert: Der Server konnte nicht erkennen, wem sie gehören. Melde dich hier an und teile sie noch einmal.',
  'shared.why_storage_full': 'der Datenträger des Servers ist voll',
  'shared.why_empty_file': 'die Datei ist leer',
  'shared.why_body_incomplete': 'die Verbindung brach ab',
  'shared.why_too_large': 'zu viele auf einmal',
  'shared.why_other': 'der Server hat es abgelehnt'
};
