/** What the server says of films, moving pictures and lookalikes: until its document says it, beside `wire.ts`. */

/** Whether browsers play a film as it is. */
export type Plays = 'everywhere' | 'some' | 'nowhere';

/** A version of a film that every browser plays. */
export interface Playable {
  state: 'none' | 'waiting' | 'making' | 'ready' | 'failed' | 'off';
  /** 0 to 1. */
  progress?: number;
  error?: string;
}

declare module './wire' {
  interface Details {
    plays?: Plays;
    codecs?: string;
    animated?: boolean;
  }
  interface Moving {
    path?: string;
    plays?: Plays;
    codecs?: string;
  }
  interface DuplicateGroup {
    kind?: SameKind;
  }
}

export type SameKind = 'same' | 'similar';
