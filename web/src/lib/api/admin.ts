/** Requests of administrators, and of a person about their own account. */

import { call } from './client';
import type { Me, WebSession } from './types';

export type Role = 'admin' | 'creator' | 'member' | 'viewer';
export type UserState = 'active' | 'pending' | 'locked' | 'deleted';

/** Every role, the strongest first. */
export const ROLES: readonly Role[] = ['admin', 'creator', 'member', 'viewer'];

/** Least characters of a password, as the server has it. */
export const LEAST_PASSWORD = 8;

export interface User {
  id: string;
  email: string;
  name: string;
  role: Role;
  state: UserState;
  held_count: number;
  held_bytes: number;
  sealed_bytes: number;
  quota_bytes?: number;
  created_at_ms: number;
  device_count: number;
  last_seen_at_ms?: number;
  last_backup_at_ms?: number;
  last_arrival_at_ms?: number;
  link_until_ms?: number;
  erased_after_ms?: number;
}

export interface NewUser {
  email: string;
  name: string;
  role: Role;
  quota_bytes?: number;
}

export interface UserEdit {
  role?: Role;
  name?: string;
  /** `null` takes the quota away. */
  quota_bytes?: number | null;
  locked?: boolean;
}

export interface HandedLink {
  path: string;
  addresses: string[];
  expires_at_ms: number;
}

export type LinkKind = 'sign_in' | 'password';

export interface Storage {
  places: { holds: 'originals' | 'sealed'; path: string; free_bytes?: number }[];
  reserve_bytes: number;
  held_count: number;
  held_bytes: number;
  sealed_bytes: number;
  trash_count: number;
  trash_bytes: number;
  trash_days: number;
}

export interface Jobs {
  media: {
    waiting: number;
    failed: { class: string; count: number }[];
    missing_programs: { purpose: string; package: string }[];
  };
  reading: { holds: 'originals' | 'sealed'; oldest_at_ms?: number }[];
  reading_days: number;
  backup: {
    target?: string | null;
    made_at_ms?: number | null;
    failure?: string | null;
    proved_at_ms?: number | null;
    drill_failure?: string | null;
  };
  overdue: { id: string; name: string; email: string; days: number; is_first: boolean }[];
}

export type Verdict = 'fine' | 'warning' | 'broken' | 'skipped';

export interface Health {
  looked_at_ms: number;
  findings: { check: string; verdict: Verdict; seen: string; fix: string }[];
}

export interface Updates {
  version: string;
  newer_version?: string;
  looks_daily: boolean;
  has_source: boolean;
  package_manager?: string;
}

export type SettingOrigin = 'default' | 'file' | 'credential' | 'variable' | 'flag';

export interface Setting {
  name: string;
  value?: string;
  is_secret: boolean;
  is_set: boolean;
  origin: SettingOrigin;
  origin_name?: string;
  variable: string;
  help: string;
}

export interface Invitation {
  email: string;
  name: string;
  is_first: boolean;
}

const person = (id: string) => `/api/v2/admin/users/${encodeURIComponent(id)}`;

export const admin = {
  users: async () => (await call<{ users: User[] }>('GET', '/api/v2/admin/users')).users,
  invite: (user: NewUser) => call<{ user: User; link: HandedLink }>('POST', '/api/v2/admin/users', { json: user }),
  edit: (id: string, edit: UserEdit) => call<User>('PATCH', person(id), { json: edit }),
  setPassword: (id: string, password: string) =>
    call<{ sessions: number }>('POST', `${person(id)}/password`, { json: { password } }),
  link: (id: string, kind: LinkKind) => call<HandedLink>('POST', `${person(id)}/link`, { json: { kind } }),
  signOut: (id: string) => call<{ sessions: number }>('POST', `${person(id)}/sign-out`, { json: {} }),
  remove: (id: string) => call<undefined>('DELETE', person(id)),
  restore: (id: string) => call<User>('POST', `${person(id)}/restore`, { json: {} }),
  storage: () => call<Storage>('GET', '/api/v2/admin/storage'),
  jobs: () => call<Jobs>('GET', '/api/v2/admin/jobs'),
  retryMedia: (failure?: string) =>
    call<{ count: number }>('POST', '/api/v2/admin/jobs/media/retry', { json: failure ? { class: failure } : {} }),
  health: () => call<Health>('GET', '/api/v2/admin/health'),
  updates: () => call<Updates>('GET', '/api/v2/admin/updates'),
  lookForUpdates: () => call<Updates>('POST', '/api/v2/admin/updates/look', { json: {} }),
  settings: () => call<{ data_folder: string; settings: Setting[] }>('GET', '/api/v2/admin/settings')
};

export const own = {
  rename: (name: string) => call<Me>('PATCH', '/api/v2/me', { json: { name } }),
  changePassword: (old: string, password: string, devices: boolean) =>
    call<{ session: WebSession; ended: number }>('POST', '/api/v2/me/password', {
      json: { old, new: password, devices }
    }),
  signOutElsewhere: (devices: boolean) =>
    call<{ sessions: number }>('POST', '/api/v2/me/sign-out', { json: { devices } }),
  invitation: (token: string) => call<Invitation>('POST', '/api/v2/web/invitation', { json: { token } }),
  accept: (token: string, password: string) =>
    call<WebSession>('PUT', '/api/v2/web/invitation', { json: { token, password } })
};
