/**
 * The app on a library of many pictures: how long the first thumbnails take on a cold page, the longest task of the page while it
 * scrolls, how many nodes it holds, whether the scrubber leads to the day it names, and what memory it needs. `scripts/bench web`.
 *
 *   node scale.mjs BASE EMAIL PASSWORD [PROFILE.json]
 *
 * Each figure is one line `{"figure": …, "value": …, "unit": …}`.
 */
import { writeFileSync } from 'node:fs';

import { DESKTOP, run, say, signIn, visit } from './harness.mjs';

const [base, email, password, profile] = process.argv.slice(2);

const figure = (name, value, unit) => say({ figure: name, value: Math.round(value * 10) / 10, unit });

/** Notes tasks longer than 50 ms, from before the page's own script. */
const NOTE_TASKS = `
  globalThis.longTasks = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) globalThis.longTasks.push([entry.startTime, entry.duration]);
  }).observe({ type: 'longtask', buffered: true });
`;

/**
 * Longest tasks of the main thread by the browser's own trace: the observer above is silent below 50 ms. `own` is the processor time
 * of the one that took most: where the browser draws without a graphics card, its other threads want the same processors.
 */
async function traced(browser, page, act) {
  // No more than is counted: a trace of every part of a task makes the task longer.
  await browser.startTracing(page, { categories: ['toplevel', '__metadata'] });
  await act();
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
  const mains = new Set(
    traceEvents
      .filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid}/${tid}`)
  );
  // By its name of today, and by that of older Chromium.
  const tasks = traceEvents.filter(
    ({ name, ph, dur, pid, tid }) =>
      ph === 'X' && dur && /^(ThreadControllerImpl::)?RunTask$/.test(name) && mains.has(`${pid}/${tid}`)
  );
  if (tasks.length === 0) throw new Error('the trace holds no tasks of a page');
  const lengths = tasks.map(({ dur }) => dur / 1000).sort((a, b) => b - a);
  const own = Math.max(...tasks.map(({ tdur }) => (tdur ?? 0) / 1000));
  return { longest: lengths[0], own, above: lengths.filter((ms) => ms > 50).length };
}

const thumbnails = () =>
  [...document.querySelectorAll('a[data-index] img')].filter((img) => {
    const { top, bottom } = img.getBoundingClientRect();
    return img.complete && img.naturalWidth > 0 && bottom > 0 && top < innerHeight;
  }).length;

const settled = (page) =>
  page.waitForFunction(() => {
    const links = [...document.querySelectorAll('a[data-index]')].filter((link) => {
      const { top, bottom } = link.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    });
    return links.length > 0 && links.every((link) => link.querySelector('img.loaded'));
  }, undefined, { polling: 'raf' });

async function cold(browser) {
  const { context, page } = await visit(browser, base, DESKTOP);
  await signIn(page, email, password);
  const state = await context.storageState();
  await context.close();
  const fresh = await visit(browser, base, { ...DESKTOP, storageState: state });
  await fresh.page.addInitScript(NOTE_TASKS);
  await fresh.page.goto('/', { waitUntil: 'commit' });
  await fresh.page.waitForFunction(thumbnails, undefined, { polling: 'raf' });
  figure('first thumbnail on a cold page', await fresh.page.evaluate(() => performance.now()), 'ms');
  await settled(fresh.page);
  figure('all thumbnails in sight', await fresh.page.evaluate(() => performance.now()), 'ms');
  const longest = await fresh.page.evaluate(() => Math.max(0, ...globalThis.longTasks.map(([, ms]) => ms)));
  figure('longest task while it opens', longest, 'ms');
  return fresh;
}

/** Scrolls as a wheel does, for a while, frame by frame. */
const scroll = (page, pixels, frames) =>
  page.evaluate(
    ([by, count]) =>
      new Promise((done) => {
        const scroller = document.querySelector('.scroller');
        let left = count;
        let most = 0;
        let before = performance.now();
        const times = [];
        const step = () => {
          const now = performance.now();
          times.push(now - before);
          before = now;
          scroller.scrollTop += by;
          most = Math.max(most, document.getElementsByTagName('*').length);
          if (left-- > 0) requestAnimationFrame(step);
          else done({ most, times: times.slice(1).sort((a, b) => a - b) });
        };
        requestAnimationFrame(step);
      }),
    [pixels, frames]
  );

/** Goes to a part of the scrubber, and compares the day that is then at the top with the month it named. */
async function scrub(page, part) {
  const slider = page.getByRole('slider', { name: 'Go to a month' });
  const box = await slider.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + 16 + (box.height - 32) * part);
  await page.mouse.down();
  await page.mouse.up();
  return page.waitForFunction((wanted) => {
    const scroller = document.querySelector('.scroller');
    // At rest: what is read below is of one moment.
    const moves = globalThis.lastTop !== scroller.scrollTop;
    globalThis.lastTop = scroller.scrollTop;
    if (moves) return false;
    if (Math.abs(scroller.scrollTop / (scroller.scrollHeight - scroller.clientHeight) - wanted) > 0.002) return false;
    const top = scroller.getBoundingClientRect().top;
    const seen = [...document.querySelectorAll('section[aria-label]')].find((each) => each.getBoundingClientRect().bottom > top + 1);
    const named = document.querySelector('[role=slider]').getAttribute('aria-valuetext');
    return seen ? { named, day: seen.getAttribute('aria-label') } : false;
  }, part, { polling: 'raf' }).then((answer) => answer.jsonValue());
}

await run(async (browser) => {
  const { page, wrong } = await cold(browser);
  const client = await page.context().newCDPSession(page);
  if (profile) {
    await client.send('Profiler.enable');
    await client.send('Profiler.start');
  }
  for (const [name, pixels, frames] of [
    ['slowly', 40, 240],
    ['quickly', 900, 240],
    ['in leaps', 12_000, 120]
  ]) {
    let moved;
    const { longest, own, above } = await traced(browser, page, async () => {
      moved = await scroll(page, pixels, frames);
    });
    figure(`longest task while scrolling ${name}`, longest, 'ms');
    figure(`the same, processor time, ${name}`, own, 'ms');
    figure(`tasks above 50 ms while scrolling ${name}`, above, '');
    figure(`frame at 95 % while scrolling ${name}`, moved.times[Math.floor(moved.times.length * 0.95)] ?? 0, 'ms');
    figure(`most nodes while scrolling ${name}`, moved.most, '');
    await settled(page);
  }
  if (profile) {
    const { profile: taken } = await client.send('Profiler.stop');
    writeFileSync(profile, JSON.stringify(taken));
  }
  let wrongDays = 0;
  for (let part = 0.02; part < 0.99; part += 0.05) {
    const { named, day } = await scrub(page, part);
    // “May 2019” of the slider, “Sun 12 May 2019” of the day.
    const [month, year] = named.split(' ');
    if (!day.includes(month) || (/\d{4}/.test(day) && !day.includes(year))) wrongDays += 1;
  }
  figure('places at which the scrubber names another day', wrongDays, '');
  await client.send('HeapProfiler.collectGarbage');
  const { usedSize } = await client.send('Runtime.getHeapUsage');
  figure('heap after all of it', usedSize / 1e6, 'MB');

  const map = await traced(browser, page, async () => {
    await page.goto('/map');
    await page.getByRole('list', { name: 'Places' }).getByRole('button').first().waitFor();
    await page.getByText(/[\d,]+ photos with a place/).waitFor();
    const map = page.getByRole('group', { name: 'Map of your photos' });
    await map.focus();
    for (let step = 0; step < 5; step += 1) {
      await page.keyboard.press('+');
      await page.waitForFunction((at) => location.search !== at, await page.evaluate(() => location.search));
      await page.keyboard.press('ArrowRight');
    }
  });
  figure('longest task on the map', map.longest, 'ms');
  figure('the same, processor time, map', map.own, 'ms');
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
});
