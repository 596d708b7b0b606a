import { describe, expect, it } from 'vitest';

import { layOut, rectsOf, rowsOf, sectionAt, sectionOf, type Metrics } from './layout';
import { byteOf, ratioOf, readShape } from './shape';

const metrics: Metrics = { width: 1200, rowHeight: 200, gap: 4, heading: 48, spacing: 16 };

/** The same pictures at every run. */
function shapes(sections: number, most: number): Uint8Array[] {
  let seed = 7;
  const next = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  return Array.from({ length: sections }, () =>
    Uint8Array.from({ length: 1 + next(most) }, () => [141, 115, 154, 128, 255, 0, 102][next(7)] ?? 128)
  );
}

describe('shape', () => {
  it('has the ratios of the protocol', () => {
    expect(ratioOf(128)).toBe(1);
    expect(ratioOf(160)).toBe(2);
    expect(byteOf(4000, 3000)).toBe(141);
    expect(byteOf(0, 10)).toBe(128);
    expect([...readShape('gI0A')]).toEqual([128, 141, 0]);
  });
});

describe('layout', () => {
  it('fills every row but the last to the pixel', () => {
    for (const width of [320, 390, 768, 1200, 3800]) {
      const own = { ...metrics, width };
      const [shape] = shapes(1, 2) as [Uint8Array];
      const long = Uint8Array.from({ length: 500 }, (_, at) => [141, 115, 154, shape[0] ?? 128][at % 4] ?? 128);
      const [box] = layOut([long], own).boxes;
      if (!box) throw new Error('no box');
      const rows = rowsOf(box, long, own);
      for (const row of rows.slice(0, -1)) {
        const last = rectsOf(row, long, own).at(-1);
        expect((last?.x ?? 0) + (last?.width ?? 0)).toBeCloseTo(width, 3);
      }
      expect(rows.reduce((sum, row) => sum + row.count, 0)).toBe(500);
    }
  });

  it('knows the height of a section before its rows are made', () => {
    const all = shapes(400, 60);
    const layout = layOut(all, metrics);
    layout.boxes.forEach((box, at) => {
      const rows = rowsOf(box, all[at] as Uint8Array, metrics);
      const end = rows.at(-1);
      expect((end?.y ?? 0) + (end?.height ?? 0) + metrics.spacing).toBeCloseTo(box.height, 3);
    });
  });

  it('never lets two sections overlap, and keeps their order', () => {
    const layout = layOut(shapes(600, 9), metrics);
    let before = { x: 0, y: -1, width: 0, height: 0 };
    for (const box of layout.boxes) {
      const below = box.y >= before.y + before.height - 0.001;
      const beside = box.y === before.y && box.x >= before.x + before.width;
      expect(below || beside || before.y < 0).toBe(true);
      expect(box.x + box.width).toBeLessThanOrEqual(metrics.width + 0.001);
      before = box;
    }
    expect(layout.height).toBeCloseTo(before.y + before.height, 3);
  });

  it('keeps rows near the height that is wished for', () => {
    const long = Uint8Array.from({ length: 2000 }, (_, at) => [141, 115, 154, 128, 141][at % 5] ?? 128);
    const [box] = layOut([long], metrics).boxes;
    if (!box) throw new Error('no box');
    for (const row of rowsOf(box, long, metrics)) {
      expect(row.height).toBeGreaterThan(metrics.rowHeight * 0.7);
      expect(row.height).toBeLessThan(metrics.rowHeight * 1.4);
    }
  });

  it('finds the section of a place and of a picture', () => {
    const layout = layOut(shapes(300, 30), metrics);
    layout.boxes.forEach((box, at) => {
      expect(sectionOf(layout.boxes, box.start)).toBe(at);
      expect(sectionOf(layout.boxes, box.start + box.count - 1)).toBe(at);
      const found = layout.boxes[sectionAt(layout.boxes, box.y + 1)];
      expect(found?.y).toBe(box.y);
    });
    expect(sectionAt(layout.boxes, layout.height + 1)).toBe(layout.boxes.length);
  });

  // How long that takes is measured by the bench `web`.
  it('keeps a box for each day of a hundred thousand pictures, and nothing for each picture', () => {
    const days = shapes(3300, 60);
    const layout = layOut(days, metrics);
    expect(layout.total).toBeGreaterThan(90_000);
    expect(layout.boxes.length).toBeLessThanOrEqual(days.length);
  });
});
