/** Short news at the lower edge, some with a way back. */

import { ApiError } from '$lib/api';
import { t } from '$lib/text/index.svelte';

export interface Toast {
  id: number;
  text: string;
  action?: { label: string; run: () => void } | undefined;
  bad: boolean;
}

const LIFE_MS = 6000;

let list = $state<Toast[]>([]);
let last = 0;
/** Whose time is up, but somebody is at one of them. */
let overdue: number[] = [];
let held = false;

export function toasts(): readonly Toast[] {
  return list;
}

export function dismiss(id: number): void {
  list = list.filter((toast) => toast.id !== id);
}

/** While somebody points at the news, or has the focus in them, none goes away by itself. */
export function hold(wished: boolean): void {
  held = wished;
  if (held) return;
  overdue.forEach(dismiss);
  overdue = [];
}

function expire(id: number): void {
  if (held) overdue.push(id);
  else dismiss(id);
}

/** Shows a sentence; bad news look bad. */
export function show(text: string, bad: boolean, action?: Toast['action']): void {
  const id = ++last;
  list = [...list.slice(-2), { id, text, action, bad }];
  setTimeout(() => expire(id), action ? LIFE_MS + 2000 : LIFE_MS);
}

export function tell(text: string, action?: Toast['action']): void {
  show(text, false, action);
}

/** Says that something went wrong. */
export function tellBad(text: string): void {
  show(text, true);
}

/** Says what went wrong in words for people. */
export function tellError(error: unknown): void {
  show(errorText(error), true);
}

/** What went wrong, as a sentence. */
export function errorText(error: unknown): string {
  if (!(error instanceof ApiError)) return t('error.unknown');
  if (error.code === 'offline') return t('error.offline');
  if (error.code === 'too_many_requests') return t('error.slow_down');
  if (error.code === 'storage_full') return t('error.storage_full');
  if (error.code === 'QUOTA_EXCEEDED') return t('error.quota');
  if (error.code === 'out_of_scope') return t('error.not_allowed');
  if (error.code === 'not_found') return t('error.not_found');
  return t('error.server', { reason: error.message });
}
