/** How far the uploads are, where it is seen without the page: in its title, and on the icon of the installed app. */

import { t } from '$lib/text/index.svelte';

import { queue } from './queue.svelte';

/** Percent that are done; `undefined` when nothing is sent. */
function percent(): number | undefined {
  const { running, bytes, sent } = queue.totals;
  return running > 0 && bytes > 0 ? Math.floor((sent / bytes) * 100) : undefined;
}

/** Follows the queue until the page is left. Called once, while a component is made. */
export function showProgress(): void {
  let plain = document.title;
  let own = '';

  const show = (done: number | undefined) => {
    own = done === undefined ? plain : t('title.uploading', { part: `${done} %`, title: plain });
    if (document.title !== own) document.title = own;
  };

  $effect(() => show(percent()));
  $effect(() => {
    // Pages name themselves whenever they are opened; how far it is stays in front of that.
    const follow = new MutationObserver(() => {
      if (document.title === own) return;
      plain = document.title;
      show(percent());
    });
    follow.observe(document.head, { subtree: true, childList: true, characterData: true });
    return () => follow.disconnect();
  });
  $effect(() => badge(queue.totals.running + queue.totals.absent));
}

/** The number on the app's icon: files that are not safe yet. Only installed apps have one. */
function badge(count: number): void {
  const own = navigator as Navigator & {
    setAppBadge?: (count: number) => Promise<void>;
    clearAppBadge?: () => Promise<void>;
  };
  const done = count > 0 ? own.setAppBadge?.(count) : own.clearAppBadge?.();
  // A wish that may be refused.
  done?.catch(() => undefined);
}
