/** English: the catalogue that says which texts there are. `n` chooses between one and other. */

import { common } from './en/common';
import { library } from './en/library';
import { people } from './en/people';
import { server } from './en/server';
import { uploads } from './en/uploads';

export const en = { ...common, ...library, ...uploads, ...people, ...server };
