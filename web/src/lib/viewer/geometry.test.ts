import { describe, expect, it } from 'vitest';

import { REST, fit, largestScale, settle, zoomAt } from './geometry';

const view = { width: 1000, height: 600 };

describe('viewer geometry', () => {
  it('fits a picture by its longer side', () => {
    expect(fit({ width: 4000, height: 2000 }, view)).toEqual({ width: 1000, height: 500 });
    expect(fit({ width: 1000, height: 3000 }, view)).toEqual({ width: 200, height: 600 });
  });

  it('keeps what is under the finger under the finger', () => {
    const at = { x: 120, y: -80 };
    const pose = zoomAt({ scale: 1.5, x: 30, y: 10 }, 4, at);
    // The point of the picture that was there: (at - shift) / scale.
    expect((at.x - pose.x) / pose.scale).toBeCloseTo((120 - 30) / 1.5);
    expect((at.y - pose.y) / pose.scale).toBeCloseTo((-80 - 10) / 1.5);
  });

  it('leaves no empty space beside a picture that is larger than the view', () => {
    const fitted = fit({ width: 4000, height: 2000 }, view);
    const pose = settle({ scale: 2, x: 900, y: -900 }, fitted, view, 8);
    expect(pose).toEqual({ scale: 2, x: 500, y: -200 });
  });

  it('brings a picture that was made too small back to rest', () => {
    const fitted = fit({ width: 4000, height: 2000 }, view);
    expect(settle({ scale: 0.6, x: 40, y: 10 }, fitted, view, 8)).toEqual(REST);
  });

  it('allows small pictures to be looked at closely, too', () => {
    expect(largestScale({ width: 300, height: 200 }, { width: 900, height: 600 }, 2)).toBe(4);
  });
});
