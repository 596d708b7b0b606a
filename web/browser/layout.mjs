/**
 * What is cut, what sticks out at the side, and what moves although nothing should: asked of a page, without looking at pictures.
 */

/** Sentences about elements of the page that is shown. Runs in the browser. */
function flaws() {
  const found = [];
  const root = document.documentElement;
  const say = (what, element) => found.push(`${what}: ${element.outerHTML.replace(/\s+/g, ' ').slice(0, 140)}`);
  if (root.scrollWidth > innerWidth + 1) found.push(`the page is ${root.scrollWidth} wide on a screen of ${innerWidth}`);
  const top = document.querySelector('dialog[open]') ?? document.body;
  for (const element of top.querySelectorAll('a, button, input, select, h1, h2, h3, p, li, label, strong, small, dd, dt, img, video')) {
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    if (style.visibility === 'hidden' || box.width < 2 || box.height < 2 || !element.checkVisibility({ opacityProperty: true })) continue;
    if (element.closest('.visually-hidden, .skip, [aria-hidden=true], [data-current] ~ *, [data-slide]')) continue;
    // What lies in something that scrolls sideways, or is cut by design as a picture's edge, is meant so.
    let frame = element.parentElement;
    let scrolls = false;
    for (; frame && frame !== top; frame = frame.parentElement) {
      const { overflowX } = getComputedStyle(frame);
      if (overflowX === 'auto' || overflowX === 'scroll') scrolls = scrolls || frame.scrollWidth > frame.clientWidth + 1;
    }
    if (!scrolls && (box.right > innerWidth + 1 || box.left < -1)) say('sticks out at the side', element);
    const text = element.matches('a, button, h1, h2, h3, label, strong');
    const cut = element.scrollWidth > element.clientWidth + 1 && style.overflowX === 'hidden' && style.textOverflow !== 'ellipsis';
    if (text && cut && element.textContent.trim() && !element.querySelector('img')) say('is cut', element);
  }
  return found;
}

/** Sentences about the page in a window of that size, read from that side. */
export async function flawsOf(page, width, height, direction = 'ltr') {
  await page.setViewportSize({ width, height });
  await page.evaluate((dir) => (document.documentElement.dir = dir), direction);
  // Two frames: sizes are observed in the first and applied in the second.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 60)))));
  const found = await page.evaluate(flaws);
  return found.map((flaw) => `${width} px, ${direction}: ${flaw}`);
}

/** Names of what moves for longer than a moment, where a person asked for stillness. */
export async function movements(page) {
  return page.evaluate(() =>
    document
      .getAnimations()
      .filter((own) => own.playState === 'running' && own.effect.getComputedTiming().activeDuration > 50)
      .map((own) => `${own.animationName ?? own.transitionProperty ?? 'an animation'} on ${own.effect.target?.className}`)
  );
}
