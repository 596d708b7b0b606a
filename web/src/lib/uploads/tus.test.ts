import { describe, expect, it } from 'vitest';

import { hexOf } from './hashing';
import { metadataOf } from './tus';

describe('tus metadata', () => {
  it('carries names of any language, and leaves out what is empty', () => {
    const field = metadataOf({ filename: 'Über 🏖.jpg', folder: '', digest: 'ab' });
    expect(field.split(',').map((pair) => pair.split(' ')[0])).toEqual(['filename', 'digest']);
    const [, value] = field.split(',')[0]?.split(' ') ?? [];
    const bytes = Uint8Array.from(atob(value ?? ''), (letter) => letter.charCodeAt(0));
    expect(new TextDecoder().decode(bytes)).toBe('Über 🏖.jpg');
  });

  it('writes digests in lower hexadecimal', () => {
    expect(hexOf(Uint8Array.from([0, 10, 255]))).toBe('000aff');
  });
});
