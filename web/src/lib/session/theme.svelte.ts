/** Light, dark, or as the system has it. */

export type Theme = 'auto' | 'light' | 'dark';

const STORED = 'photosync-theme';

let theme = $state<Theme>('auto');

export function currentTheme(): Theme {
  return theme;
}

export function setTheme(wished: Theme): void {
  theme = wished;
  if (wished === 'auto') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = wished;
  try {
    localStorage.setItem(STORED, wished);
  } catch {
    // Storage is refused: it lasts until the page is closed.
  }
}

/** Sets what was chosen here before. */
export function restoreTheme(): void {
  try {
    const stored = localStorage.getItem(STORED);
    if (stored === 'light' || stored === 'dark') setTheme(stored);
  } catch {
    // As the system has it.
  }
}
