import { expect, test } from 'vitest';

import { isPage, isThumbnail } from './caches';

const at = (path: string) => new URL(path, 'https://photos.example');

test('only thumbnails are kept: no original, no larger picture, no list', () => {
  expect(isThumbnail(at('/api/v2/library/assets/a1/renditions/thumb?v=1'))).toBe(true);
  for (const path of [
    '/api/v2/library/assets/a1/renditions/screen?v=1',
    '/api/v2/library/assets/a1/original',
    '/api/v2/library/timeline',
    '/x/api/v2/library/assets/a1/renditions/thumb'
  ]) {
    expect(isThumbnail(at(path)), path).toBe(false);
  }
});

test('the shell stands in for pages of the app, and for nothing that the server answers itself', () => {
  for (const path of ['/', '/albums/7', '/photo/a1', '/sign-in?to=%2F']) expect(isPage(at(path)), path).toBe(true);
  for (const path of ['/api/v2/library/downloads/1', '/icon.svg', '/share-target', '/health/ready', '/control/x']) {
    expect(isPage(at(path)), path).toBe(false);
  }
});
