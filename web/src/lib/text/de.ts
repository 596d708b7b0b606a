/** German. The types of its parts make sure that nothing is left out. */

import { common } from './de/common';
import { library } from './de/library';
import { people } from './de/people';
import { server } from './de/server';
import { uploads } from './de/uploads';
import type { Catalogue } from './index.svelte';

export const de: Catalogue = { ...common, ...library, ...uploads, ...people, ...server };
