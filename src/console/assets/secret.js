// A secret, which is shown once. It is in this dialog, and nowhere else: closing removes it.

import { dialog } from './dialog.js';
import { button, fill, h, notice, set } from './dom.js';
import { field, select } from './form.js';

const URL = 'https://api.example.com/';
// With the key in the environment: secrets in code end in repositories.
const SNIPPETS = {
	curl: `curl -H "X-API-Key: $API_KEY" ${URL}`,
	fetch: `const answer = await fetch("${URL}", {
	headers: { "X-API-Key": process.env.API_KEY },
});`,
	Python: `import os, requests

answer = requests.get("${URL}",
		headers={"X-API-Key": os.environ["API_KEY"]})`,
	Go: `request, err := http.NewRequest("GET", "${URL}", nil)
request.Header.Set("X-API-Key", os.Getenv("API_KEY"))
answer, err := http.DefaultClient.Do(request)`,
	Rust: `let answer = reqwest::Client::new()
		.get("${URL}")
		.header("X-API-Key", std::env::var("API_KEY")?)
		.send().await?;`,
};

export const showSecret = (title, secret) =>
	dialog(title, (close) => {
		const shown = h('code.secret', { tabindex: 0 }, secret);
		const why = h('p.hint', { role: 'status' }, 'This closes once the secret is copied.');
		const done = button('Done', () => copied && close(), 'primary', { 'aria-disabled': 'true' });
		let copied = false;
		const take = () => {
			copied = true;
			set(done, { 'aria-disabled': null });
			fill(why, 'Copied. Keep it where secrets are kept.');
		};
		const copy = async () => {
			try {
				await navigator.clipboard.writeText(secret);
				take();
			} catch {
				getSelection().selectAllChildren(shown);
				if (document.execCommand('copy')) return;
				fill(why, 'The browser does not let the page copy. The secret is selected: press Ctrl+C.');
			}
		};
		shown.addEventListener('copy', () => getSelection().toString().trim() === secret && take());
		const code = h('pre', { tabindex: 0 }, SNIPPETS.curl);
		const language = select(Object.keys(SNIPPETS).map((name) => [name, name]), 'curl');
		language.addEventListener('change', () => fill(code, SNIPPETS[language.value]));
		return [
			notice('warn', 'This is the only time that the secret is shown. Nobody can read it later.'),
			h('div.copy', shown, button('Copy', copy, '', { autofocus: true })),
			field('language', 'How to use it', language),
			code,
			h('div.actions', done, why),
		];
	}, { held: true, look: 'wide' });
