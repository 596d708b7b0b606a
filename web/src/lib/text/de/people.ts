/** German of en/people.ts. */

import type { people as english } from '../en/people';
import { plural, type Entry } from '../entry';

export const people: Record<keyof typeof english, Entry> = {
  'storage.held': plural('{n} Original, {size}', '{n} Originale, {size}'),
  'storage.free': '{size} frei',
  'storage.waiting': plural('{n} Vorschau wird erstellt', '{n} Vorschauen werden erstellt'),
  'storage.of_quota': '{used} von {quota} belegt',

  'safety.known': 'Nicht vollständig hier',
  'safety.received': 'Empfangen und gespeichert',
  'safety.verified': 'Gespeichert und geprüft',
  'safety.second_copy': 'Geprüft, mit zweiter Kopie',

  'devices.this': 'Dieser Browser',
  'devices.complete': 'Alles gesichert {when}',
  'devices.overdue': 'Letzte vollständige Sicherung {when}',
  'devices.never': 'Hat noch nie vollständig gesichert',
  'devices.seen': 'Zuletzt gesehen {when}',
  'devices.since': 'Angemeldet seit {when}',
  'devices.revoke': 'Abmelden',
  'devices.revoke_title': '{name} abmelden?',
  'devices.revoke_text': 'Vor der nächsten Sicherung muss es neu verbunden werden. Seine Fotos bleiben hier.',
  'devices.revoked': '{name} ist abgemeldet',

  'pair.qr': 'QR-Code für das Handy',
  'pair.step_app': 'Öffne PhotoSync auf dem Handy.',
  'pair.step_scan': 'Wähle „Mit Server verbinden“ und scanne dieses Bild.',
  'pair.step_code': 'Keine Kamera zur Hand? Tippe diesen Code ein:',
  'pair.code': 'Code',
  'pair.left': 'Gilt noch {time}',

  'account.sign_out': 'Abmelden',
  'account.sign_out_title': 'Abmelden und das Hochladen beenden?',
  'account.sign_out_text': plural(
    '{n} Datei ist noch nicht angekommen. Niemand sonst soll sie in diesem Browser finden, darum wird sie aufgegeben.',
    '{n} Dateien sind noch nicht angekommen. Niemand sonst soll sie in diesem Browser finden, darum werden sie aufgegeben.'
  ),
  'account.look': 'Darstellung',
  'account.theme': 'Farben',
  'account.language': 'Sprache',
  'account.everything': 'Eine Kopie von allem',
  'account.everything_text': plural('Ein Archiv mit deinem {n} Original, {size}.', 'Ein Archiv mit deinen {n} Originalen, {size}.'),
  'account.download': 'Alles herunterladen',
  'account.name': 'Dein Name',
  'account.name_hint': 'Was die Leute auf diesem Server sehen. Nichts hängt davon ab.',
  'account.saved': 'Gespeichert',
  'account.password': 'Passwort',
  'account.password_old': 'Bisheriges Passwort',
  'account.password_new': 'Neues Passwort',
  'account.password_change': 'Passwort ändern',
  'account.password_set': 'Passwort festlegen',
  'account.password_none': 'Du bist über einen Link hereingekommen und hast noch kein Passwort.',
  'account.password_text': 'Andere Browser werden abgemeldet und brauchen das neue Passwort. Telefone und Computer sichern weiter.',
  'account.password_devices': 'Auch Telefone und Computer abmelden, weil jemand das alte Passwort kennen könnte',
  'account.password_wrong': 'Das bisherige Passwort stimmt nicht. Es wurde nichts geändert.',
  'account.password_changed': plural(
    'Das neue Passwort gilt. {n} andere Sitzung wurde abgemeldet.',
    'Das neue Passwort gilt. {n} andere Sitzungen wurden abgemeldet.'
  ),
  'account.password_changed_alone': 'Das neue Passwort gilt.',
  'account.browsers': 'Browser',
  'account.browsers_text': 'Wo du mit einem Browser angemeldet bist. Telefone und Computer stehen auf der Seite „Geräte“.',
  'account.browser_out': '{name} abmelden',
  'account.elsewhere': 'Überall sonst abmelden',
  'account.elsewhere_text': 'Jeder andere Browser wird abgemeldet. Dieser bleibt.',
  'account.elsewhere_devices': 'Auch Telefone und Computer. Sie müssen neu verbunden werden, ehe sie wieder sichern.',
  'account.elsewhere_done': plural('{n} Sitzung wurde abgemeldet', '{n} Sitzungen wurden abgemeldet'),
  'account.elsewhere_none': 'Sonst war niemand angemeldet',

  'invitation.title': 'Willkommen',
  'invitation.text': 'Wähle ein Passwort für {email}. Damit meldest du dich hier und in der App an.',
  'invitation.again_title': 'Ein neues Passwort',
  'invitation.again_text': 'Wähle ein neues Passwort für {email}. Alles, was angemeldet ist, muss sich neu anmelden.',
  'invitation.button': 'Passwort festlegen und anmelden',

  'door.sign_in': 'Anmelden',
  'door.email': 'E-Mail',
  'door.password': 'Passwort',
  'door.enter': 'Anmelden',
  'door.entering': 'Wird angemeldet …',
  'door.refused': 'E-Mail und Passwort gehören nicht zusammen.',
  'door.show': 'Zeigen',
  'door.hide': 'Verbergen',
  'door.caps': 'Die Feststelltaste ist an.',
  'door.server': '{name} · Version {version}',
  'door.plain':
    'Diese Seite kam über einfaches HTTP. Im eigenen Netz ist das in Ordnung; über HTTPS wird Hochladen schneller vorbereitet und die App lässt sich installieren.',

  'setup.title': 'Willkommen',
  'setup.text': 'Lege dein Konto an. Andere kannst du später einladen.',
  'setup.code': 'Code vom Server',
  'setup.code_hint': 'Der Server hat ihn beim Start ausgegeben: in seinem Fenster oder im Protokoll.',
  'setup.password_hint': 'Mindestens {n} Zeichen. Ein kurzer Satz ist gut.',
  'setup.create': 'Konto anlegen',
  'setup.wrong_code': 'Das ist nicht der Code, den der Server ausgegeben hat.',

  'link.title': 'Anmelden per Link',
  'link.text': 'Dieser Link meldet dich einmal an, in diesem Browser.',
  'link.refused': 'Dieser Link wurde schon benutzt oder ist abgelaufen. Bitte um einen neuen.'
};
