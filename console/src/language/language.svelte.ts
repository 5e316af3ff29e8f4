// The language of the console: the browser's at first, the person's choice from then on.
import { getLocale, setLocale } from '../paraglide/runtime';
import type { Locale } from '../format/format';

class Language {
  current = $state<Locale>(getLocale());

  constructor() {
    document.documentElement.lang = TAGS[this.current];
  }

  choose(locale: Locale): void {
    void setLocale(locale, { reload: false });
    document.documentElement.lang = TAGS[locale];
    this.current = locale;
  }
}

const TAGS: Record<Locale, string> = { en: 'en', zh: 'zh-CN' };

export const language = new Language();
