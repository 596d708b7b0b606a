/**
 * A library worth looking at, drawn by code: skies, ridges, water and suns of every hour, no two alike. Nobody's pictures.
 */

/** Draws one landscape on a page of a browser and answers its JPEG as base64. */
export async function landscape(page, seed, width, height) {
  return page.evaluate(
    async ([number, w, h]) => {
      let state = (number * 2654435761) >>> 0;
      const random = () => {
        state = (Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9) >>> 0;
        return state / 2 ** 32;
      };
      const between = (low, high) => low + random() * (high - low);
      const canvas = new OffscreenCanvas(w, h);
      const draw = canvas.getContext('2d');
      const moods = [
        [[211, 70, 42], [200, 80, 78], [208, 45, 30]],
        [[268, 45, 26], [18, 88, 66], [262, 35, 22]],
        [[196, 60, 55], [44, 90, 84], [150, 32, 26]],
        [[228, 55, 14], [214, 50, 36], [222, 45, 9]],
        [[12, 70, 44], [42, 95, 70], [352, 40, 20]],
        [[172, 40, 42], [92, 50, 84], [160, 42, 20]]
      ];
      const [high, low, land] = moods[number % moods.length];
      const colour = ([hue, full, light], more = 0, alpha = 1) => `hsl(${hue + between(-6, 6)} ${full}% ${light + more}% / ${alpha})`;
      const horizon = h * between(0.5, 0.68);
      const sky = draw.createLinearGradient(0, 0, 0, horizon);
      sky.addColorStop(0, colour(high));
      sky.addColorStop(1, colour(low));
      draw.fillStyle = sky;
      draw.fillRect(0, 0, w, h);
      const sun = { x: w * between(0.15, 0.85), y: horizon * between(0.35, 0.9), r: Math.min(w, h) * between(0.04, 0.09) };
      const glow = draw.createRadialGradient(sun.x, sun.y, 0, sun.x, sun.y, sun.r * 7);
      glow.addColorStop(0, colour(low, 14, 0.9));
      glow.addColorStop(0.12, colour(low, 10, 0.5));
      glow.addColorStop(1, colour(low, 0, 0));
      draw.fillStyle = glow;
      draw.fillRect(0, 0, w, h);
      draw.fillStyle = colour(low, 16);
      draw.beginPath();
      draw.arc(sun.x, sun.y, sun.r, 0, 7);
      draw.fill();
      if (high[2] < 20) {
        for (let star = 0; star < 220; star += 1) {
          draw.fillStyle = `rgb(255 255 255 / ${between(0.2, 0.9)})`;
          draw.fillRect(random() * w, random() * horizon * 0.8, 2, 2);
        }
      }
      // Clouds: heaps of soft discs.
      for (let cloud = 0; cloud < 5; cloud += 1) {
        const [x, y] = [random() * w, horizon * between(0.1, 0.6)];
        for (let puff = 0; puff < 14; puff += 1) {
          const r = between(0.02, 0.07) * w;
          const [px, py] = [x + between(-0.12, 0.12) * w, y + between(-0.02, 0.02) * h];
          const soft = draw.createRadialGradient(px, py, 0, px, py, r);
          soft.addColorStop(0, colour(low, 12, 0.16));
          soft.addColorStop(1, colour(low, 12, 0));
          draw.fillStyle = soft;
          draw.fillRect(px - r, py - r, 2 * r, 2 * r);
        }
      }
      // Ridges, the far ones pale: sums of waves.
      const ridges = 4 + (number % 3);
      for (let ridge = 0; ridge < ridges; ridge += 1) {
        const part = ridge / (ridges - 1);
        const base = horizon + (h - horizon) * (part * 0.8 - 0.12);
        const rise = h * between(0.05, 0.16) * (1.2 - part * 0.6);
        const waves = Array.from({ length: 6 }, (_, at) => [between(0.6, 1.4) * (at + 1) ** 1.5, random() * 7, 1 / (at + 1) ** 1.1]);
        draw.fillStyle = `hsl(${land[0] * part + low[0] * (1 - part)} ${land[1]}% ${land[2] + (1 - part) * 34}%)`;
        draw.beginPath();
        draw.moveTo(0, h);
        for (let x = 0; x <= w; x += 3) {
          const sum = waves.reduce((all, [speed, shift, size]) => all + Math.sin((x / w) * speed * 4 + shift) * size, 0);
          draw.lineTo(x, base - sum * rise * 0.55);
        }
        draw.lineTo(w, h);
        draw.fill();
      }
      if (number % 4 === 1) {
        const shore = h * between(0.78, 0.86);
        const water = draw.createLinearGradient(0, shore, 0, h);
        water.addColorStop(0, colour(low, -6));
        water.addColorStop(1, colour(high, -4));
        draw.fillStyle = water;
        draw.fillRect(0, shore, w, h);
        for (let glint = 0; glint < 160; glint += 1) {
          draw.fillStyle = colour(low, 14, between(0.05, 0.35));
          const y = shore + (h - shore) * random() ** 1.6;
          draw.fillRect(sun.x + between(-0.16, 0.16) * w * (1 + (y - shore) / h), y, between(8, 50), 2);
        }
      } else if (number % 4 === 2) {
        for (let tree = 0; tree < 26; tree += 1) {
          const [x, size] = [random() * w, h * between(0.05, 0.17)];
          draw.fillStyle = colour(land, -land[2] * 0.55);
          for (let level = 0; level < 4; level += 1) {
            const top = h * 0.98 - size + (level * size) / 5;
            draw.beginPath();
            draw.moveTo(x, top);
            draw.lineTo(x + size * (0.1 + level * 0.05), top + size * 0.34);
            draw.lineTo(x - size * (0.1 + level * 0.05), top + size * 0.34);
            draw.fill();
          }
        }
      }
      const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.86 });
      const bytes = new Uint8Array(await blob.arrayBuffer());
      let text = '';
      for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
      return btoa(text);
    },
    [seed, width, height]
  );
}

const SHAPES = [[1600, 1067], [1067, 1600], [1600, 1067], [1600, 900], [1200, 1200], [1600, 1067], [2000, 760]];

/** Where the evenings of the library were: degrees north and east; some nowhere. */
const PLACES = [[38.71, -9.14], [37.02, -7.93], undefined, [-33.92, 18.42], [46.95, 7.45], [35.68, 139.76], undefined, [64.15, -21.94]];

/** The same JPEG with a place in its EXIF (EXIF 2.32, 4.6.6): a head of TIFF, one entry that leads to four. */
function withPlace(jpeg, [north, east]) {
  const tiff = Buffer.alloc(128);
  tiff.write('II*\0', 0, 'latin1');
  tiff.writeUInt32LE(8, 4);
  tiff.writeUInt16LE(1, 8);
  const entry = (at, tag, kind, count, value) => {
    tiff.writeUInt16LE(tag, at);
    tiff.writeUInt16LE(kind, at + 2);
    tiff.writeUInt32LE(count, at + 4);
    if (typeof value === 'string') tiff.write(value, at + 8, 'latin1');
    else tiff.writeUInt32LE(value, at + 8);
  };
  entry(10, 0x8825, 4, 1, 26);
  tiff.writeUInt16LE(4, 26);
  entry(28, 1, 2, 2, north < 0 ? 'S' : 'N');
  entry(40, 2, 5, 3, 80);
  entry(52, 3, 2, 2, east < 0 ? 'W' : 'E');
  entry(64, 4, 5, 3, 104);
  for (const [at, degrees] of [[80, north], [104, east]]) {
    // All of it as degrees, in millionths; no minutes, no seconds.
    [Math.round(Math.abs(degrees) * 1e6), 1e6, 0, 1, 0, 1].forEach((part, nth) => tiff.writeUInt32LE(part, at + nth * 4));
  }
  const segment = Buffer.concat([Buffer.from([0xff, 0xe1, 0, 128 + 8]), Buffer.from('Exif\0\0', 'latin1'), tiff]);
  return Buffer.concat([jpeg.subarray(0, 2), segment, jpeg.subarray(2)]);
}

/** Draws a library: name, time and bytes of each picture, the newest first. */
export async function library(page, count) {
  const pictures = [];
  const day = new Date('2026-06-21T19:40:00Z');
  for (let at = 0; at < count; at += 1) {
    const [width, height] = SHAPES[(at * 5 + (at >> 2)) % SHAPES.length];
    // Some evenings have many pictures, then nothing for weeks.
    day.setUTCMinutes(day.getUTCMinutes() - (at % 9 === 8 ? 60 * 24 * (3 + (at % 23)) : 7));
    const name = `IMG_${String(4200 - at)}.jpg`;
    const place = PLACES[Math.floor(at / 9) % PLACES.length];
    const drawn = Buffer.from(await landscape(page, at + 1, width, height), 'base64');
    pictures.push({ name, captured: day.toISOString().slice(0, 19), bytes: place ? withPlace(drawn, place) : drawn });
  }
  return pictures;
}
