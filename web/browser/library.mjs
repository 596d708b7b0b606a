/**
 * What lies beside the timeline: the map, duplicates, the order of an album, films and Live Photos, and fingers on the viewer.
 *
 *   node library.mjs BASE EMAIL PASSWORD
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { DESKTOP, PHONE, atRest, require as must, run, say, signIn, visit } from './harness.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The page as it stands keeps the rules of accessibility in both themes. */
async function accessible(page, name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await atRest(page);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    const told = violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 200)}`);
    must(told.length === 0, `${name}, ${colorScheme}: ${told.join('\n')}`);
  }
  await page.emulateMedia({ colorScheme: null });
}

const [base, email, password] = process.argv.slice(2);

const viewerOf = (page) => page.getByRole('dialog', { name: 'Viewer' });

async function lookAtMap(page) {
  await page.goto('/map');
  const places = page.getByRole('list', { name: 'Places' }).getByRole('button');
  const lisbon = page.getByRole('list', { name: 'Places' }).getByRole('button', { name: /Portugal/ });
  await lisbon.waitFor();
  must((await lisbon.getAttribute('aria-label')).startsWith('2 photos, Portugal, 38.7'), 'two photos were taken in Lisbon');
  must((await places.count()) === 2, 'Lisbon and Tokyo are two places');
  // By keys: nearer, and away from it.
  const map = page.getByRole('group', { name: 'Map of your photos' });
  await map.focus();
  const zoomOf = () => Number(new URL(page.url()).searchParams.get('at')?.split(',')[2] ?? NaN);
  await page.keyboard.press('+');
  await page.waitForURL(/at=/);
  const before = zoomOf();
  await page.keyboard.press('+');
  await page.waitForURL(() => zoomOf() > before + 0.9);
  await page.keyboard.press('ArrowLeft');
  // By the wheel, back to all; and the earth is dragged.
  await page.getByRole('button', { name: 'Show all places' }).click();
  await places.nth(1).waitFor();
  const box = await map.boundingBox();
  const at = page.url();
  await page.mouse.move(box.x + 80, box.y + box.height - 80);
  await page.mouse.down();
  await page.mouse.move(box.x + 140, box.y + box.height - 140, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL((url) => url.href !== at);
  await lisbon.click();
  const panel = page.getByRole('region', { name: 'Photos here' });
  await panel.getByLabel('Photo 1 of 2,', { exact: false }).click();
  await viewerOf(page).waitFor();
  await page.keyboard.press('Escape');
  await viewerOf(page).waitFor({ state: 'hidden' });
  await panel.getByRole('heading', { name: 'Lisbon, Portugal' }).waitFor();
  await accessible(page, 'map');
  say({ step: 'looked at the map' });
}

async function tidy(page) {
  await page.goto('/duplicates');
  const group = page.getByRole('region', { name: 'Group 1' });
  // The copy knows when it was taken, the other one does not.
  await group.getByText('Suggested: has the date of the camera').waitFor();
  await accessible(page, 'duplicates');
  const proposed = group.getByRole('radio').first();
  must(await proposed.isChecked(), 'the suggested one is chosen');
  await group.getByRole('button', { name: /the other to the trash/ }).click();
  await page.getByText('No picture is here twice').waitFor();
  await page.getByRole('button', { name: 'Undo' }).click();
  await group.waitFor();
  await group.getByText('Suggested:').first().waitFor();
  await group.getByRole('button', { name: /the other to the trash/ }).click();
  await page.getByText('No picture is here twice').waitFor();
  say({ step: 'kept one of two' });
}

async function arrange(page) {
  await page.goto('/albums');
  await page.getByRole('button', { name: 'New album' }).click();
  await page.getByLabel('Name of the album').fill('Journey');
  await page.getByRole('button', { name: 'Create' }).click();
  await page.getByRole('button', { name: 'Add from library' }).click();
  const picker = page.getByRole('dialog', { name: 'Add to Journey' });
  await accessible(page, 'choosing for an album');
  for (let at = 0; at < 4; at += 1) await picker.locator(`a[data-index="${at}"]`).click();
  await picker.getByRole('button', { name: 'Add 4 photos' }).click();
  await page.getByLabel('of 4,', { exact: false }).first().waitFor();
  await page.getByRole('button', { name: 'More' }).last().click();
  await page.getByRole('menuitem', { name: 'Arrange photos' }).click();
  const tiles = page.locator('[data-tile]');
  await tiles.nth(3).waitFor();
  const order = () => tiles.evaluateAll((all) => all.map((one) => one.dataset.tile));
  const [a, b, c, d] = await order();
  const stored = () => page.waitForResponse((answer) => answer.url().endsWith('/order') && answer.ok());
  // With the mouse: the first one to the third place.
  const from = await tiles.nth(0).boundingBox();
  const to = await tiles.nth(2).boundingBox();
  let kept = stored();
  await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move(to.x + to.width / 2, to.y + to.height / 2, { steps: 6 });
  await page.mouse.up();
  await kept;
  // With keys: the last one, two places back.
  await tiles.nth(3).click();
  for (let step = 0; step < 2; step += 1) {
    kept = stored();
    await page.keyboard.press('ArrowLeft');
    await kept;
  }
  const wanted = [b, d, c, a];
  must(String(await order()) === String(wanted), 'both moves are seen');
  await accessible(page, 'order of an album');
  await page.getByRole('button', { name: 'Set as cover' }).click();
  await page.getByText('It is the cover now').waitFor();
  await page.getByRole('button', { name: 'Done' }).click();
  await page.reload();
  await page.getByLabel('4 of 4,', { exact: false }).waitFor();
  const shown = await page.locator('a[data-index]').evaluateAll((all) => all.map((one) => one.pathname.split('/').pop()));
  must(String(shown) === String(wanted), 'the order is there after the page was loaded again');
  say({ step: 'arranged', album: page.url().split('/').pop(), order: wanted });
}

async function watch(page) {
  await page.goto('/videos');
  const parts = [];
  page.on('response', (answer) => {
    if (answer.url().endsWith('/original')) parts.push(answer.status());
  });
  await page.getByLabel(/^Video \d of 2,.*0:20/).click();
  const film = viewerOf(page).locator('[data-current] video');
  await film.evaluate((video) => new Promise((done, fail) => {
    if (video.readyState >= 2) done();
    video.addEventListener('loadeddata', done);
    video.addEventListener('error', () => fail(new Error(video.error?.message)));
  }));
  await film.evaluate((video) => new Promise((done) => {
    video.addEventListener('seeked', done, { once: true });
    video.currentTime = 15;
  }));
  await film.evaluate((video) => new Promise((done) => {
    video.muted = true;
    video.addEventListener('timeupdate', () => video.currentTime > 15.2 && done());
    void video.play();
  }));
  must(parts.length > 0 && parts.every((status) => status === 206), `films come in parts: ${parts}`);
  say({ step: 'watched a film' });
  await page.goBack();
  await page.getByLabel(/^Video \d of 2,.*0:02/).click();
  // It says so, or has been given what it can play: that depends on how quick the server is.
  const word = viewerOf(page).getByText('Your browser cannot play this film', { exact: false });
  const other = viewerOf(page).locator('[data-current] video[src$="/playable"]');
  await word.or(other).first().waitFor();
  // Asked in one moment: what it can play may come at any.
  const stuck = await viewerOf(page).evaluate((viewer) => {
    const links = [...viewer.querySelectorAll('a[href]')].filter((link) => link.checkVisibility());
    return viewer.textContent.includes('cannot play this film') && !links.some((link) => link.textContent.trim() === 'Download');
  });
  must(!stuck, 'the original can be had');
  say({ step: 'was told of the other' });
}

async function relive(page) {
  await page.goto('/search?q=live');
  await page.getByLabel('Photo 1 of 1,', { exact: false }).click();
  const moving = viewerOf(page).locator('video[data-moving]');
  const plays = () => moving.evaluate((video) => new Promise((done) => {
    if (video.currentTime > 0) done();
    video.addEventListener('timeupdate', () => video.currentTime > 0 && done());
  }));
  const picture = await viewerOf(page).locator('[data-current] [data-picture]').boundingBox();
  const live = viewerOf(page).getByRole('button', { name: 'Play Live Photo' });
  await page.mouse.move(picture.x + picture.width / 2, picture.y + picture.height / 2);
  await page.mouse.down();
  await plays();
  await page.mouse.up();
  await moving.waitFor({ state: 'detached' });
  await live.hover();
  await plays();
  await page.mouse.move(picture.x + picture.width / 2, picture.y + picture.height / 2);
  await moving.waitFor({ state: 'detached' });
  await viewerOf(page).getByRole('group').first().focus();
  await page.keyboard.press(' ');
  await plays();
  await page.keyboard.press(' ');
  await moving.waitFor({ state: 'detached' });
  say({ step: 'saw a Live Photo move' });
}

/** Fingers, as the browser gets them from a screen. */
async function fingers(page) {
  const client = await page.context().newCDPSession(page);
  const send = (type, points, timestamp) =>
    client.send('Input.dispatchTouchEvent', { type, timestamp, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
  return {
    /** Two taps a tenth of a second apart by their own clock, however busy this machine is. */
    async doubleTap(x, y) {
      const now = Date.now() / 1000;
      for (const at of [now, now + 0.1]) {
        await send('touchStart', [[x, y]], at);
        await send('touchEnd', [], at + 0.02);
      }
    },
    /** Moves fingers from where they are to where they shall be, in steps. */
    async drag(from, to, steps = 6) {
      await send('touchStart', from);
      for (let step = 1; step <= steps; step += 1) {
        await send('touchMove', from.map(([x, y], at) => [
          x + ((to[at][0] - x) * step) / steps,
          y + ((to[at][1] - y) * step) / steps
        ]));
      }
      await send('touchEnd', []);
    }
  };
}

async function touch(browser) {
  const { context, page, wrong } = await visit(browser, base, PHONE);
  await signIn(page, email, password);
  await page.goto('/favourites');
  await page.goto('/search?q=img');
  const hand = await fingers(page);
  const first = page.getByLabel('Photo 1 of', { exact: false }).first();
  await first.tap();
  const viewer = viewerOf(page);
  await viewer.waitFor();
  // It has grown to its size.
  await page.waitForFunction(() => document.querySelector('dialog')?.getAnimations({ subtree: true }).length === 0);
  const [x, y] = [195, 422];
  const scaleIs = async (least, most) => {
    const within = ([from, to]) => {
      const picture = document.querySelector('[data-current] [data-picture]');
      const { a } = new DOMMatrix(getComputedStyle(picture).transform);
      return a >= from && a <= to;
    };
    await page.waitForFunction(within, [least, most], { polling: 50 }).catch(() => {
      throw new Error(`the picture was never ${least} to ${most} times as large`);
    });
  };
  await hand.drag([[x - 30, y], [x + 30, y]], [[x - 120, y], [x + 120, y]]);
  await scaleIs(2, 9);
  await hand.drag([[x - 120, y], [x + 120, y]], [[x - 30, y], [x + 30, y]]);
  await scaleIs(1, 1);
  await hand.doubleTap(x, y);
  await scaleIs(2, 9);
  await hand.doubleTap(x, y);
  await scaleIs(1, 1);
  say({ step: 'pinched' });
  await hand.drag([[300, y]], [[60, y]]);
  await viewer.getByText(/^2 of/).first().waitFor();
  await hand.drag([[60, y]], [[300, y]]);
  await viewer.getByText(/^1 of/).first().waitFor();
  say({ step: 'swiped' });
  await page.waitForFunction(() => document.querySelector('dialog')?.getAnimations({ subtree: true }).length === 0);
  await hand.drag([[x, 300]], [[x, 640]]);
  await viewer.waitFor({ state: 'hidden' });
  must(new URL(page.url()).pathname === '/search', 'swiping down leads back to the list');
  say({ step: 'closed by a finger' });
  must(wrong.length === 0, wrong.join('\n'));
  await context.close();
}

await run(async (browser) => {
  const { page, wrong } = await visit(browser, base, { ...DESKTOP, reducedMotion: 'reduce' });
  await signIn(page, email, password);
  await lookAtMap(page);
  await tidy(page);
  await arrange(page);
  await watch(page);
  await relive(page);
  await touch(browser);
  must(wrong.length === 0, wrong.join('\n'));
  say({ step: 'nothing went wrong' });
});
