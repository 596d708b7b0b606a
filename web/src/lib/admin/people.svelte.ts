/** The accounts of this server, and what can be done with them. */

import { admin, ApiError, type User } from '$lib/api';
import { t } from '$lib/text/index.svelte';
import { ask } from '$lib/ui/confirm.svelte';
import { errorText, tell } from '$lib/ui/toasts.svelte';

/** What somebody is called. */
export function nameOf(user: User): string {
  return user.name || user.email;
}

/** What went wrong with an account, in words for people. */
export function peopleErrorText(error: unknown): string {
  if (error instanceof ApiError && error.code === 'conflict') return t('admin.last_admin');
  if (error instanceof ApiError && error.code === 'email_taken') return t('admin.email_taken');
  return errorText(error);
}

/** Reads what was typed as a limit in GB: bytes, `null` for none, `undefined` for nonsense. */
export function readQuota(typed: string | number | null | undefined): number | null | undefined {
  const text = String(typed ?? '').trim().replace(',', '.');
  if (text === '') return null;
  const gigabytes = Number(text);
  return Number.isFinite(gigabytes) && gigabytes >= 0 ? Math.round(gigabytes * 1e9) : undefined;
}

/** A limit as it is typed. */
export function quotaText(bytes: number | undefined): string {
  return bytes === undefined ? '' : String(bytes / 1e9);
}

/** Every account, and the last answer of the server for each. */
export class People {
  list = $state.raw<User[]>();
  error = $state<unknown>();

  async load(): Promise<void> {
    this.error = undefined;
    try {
      this.list = await admin.users();
    } catch (cause) {
      this.error = cause;
    }
  }

  /** Takes over what the server said of one account. */
  put(user: User): void {
    const others = (this.list ?? []).filter((each) => each.id !== user.id);
    this.list = [...others, user].sort((a, b) => a.email.localeCompare(b.email));
  }

  async signOut(user: User): Promise<void> {
    const name = nameOf(user);
    const sure = await ask({
      title: t('admin.sign_out_title', { name }),
      text: t('admin.sign_out_text'),
      confirm: t('admin.sign_out')
    });
    if (!sure) return;
    const { sessions } = await admin.signOut(user.id);
    tell(sessions > 0 ? t('account.elsewhere_done', { n: sessions }) : t('account.elsewhere_none'));
    await this.load();
  }

  async lock(user: User): Promise<void> {
    const name = nameOf(user);
    const sure = await ask({
      title: t('admin.lock_title', { name }),
      text: t('admin.lock_text'),
      confirm: t('admin.lock')
    });
    if (!sure) return;
    this.put(await admin.edit(user.id, { locked: true }));
    tell(t('admin.locked', { name }));
  }

  async unlock(user: User): Promise<void> {
    this.put(await admin.edit(user.id, { locked: false }));
    tell(t('admin.unlocked', { name: nameOf(user) }));
  }

  async remove(user: User, days: number): Promise<void> {
    const name = nameOf(user);
    const sure = await ask({
      title: t('admin.delete_title', { name }),
      text: t('admin.delete_text', { n: days }),
      confirm: t('admin.delete')
    });
    if (!sure) return;
    await admin.remove(user.id);
    tell(t('admin.deleted', { name }), { label: t('action.undo'), run: () => void this.restore(user) });
    await this.load();
  }

  async restore(user: User): Promise<void> {
    this.put(await admin.restore(user.id));
    tell(t('admin.restored', { name: nameOf(user) }));
  }
}
