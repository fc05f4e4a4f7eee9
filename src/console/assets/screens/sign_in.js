// Signing in, as a screen or in a dialog.

import { dialog } from '../dialog.js';
import { button, fill, find, h, notice } from '../dom.js';
import { field, form, input, invalid } from '../form.js';
import { check, signIn, who } from '../session.js';

export function signInScreen({ title = 'Sign in', text, methods, done }) {
	const view = find('#main');
	document.title = `${title} – API keys`;
	fill(view, h('section.card.sign-in', h('h1', { tabindex: -1 }, title), text && notice('warn', text), parts({ methods, done })));
	view.querySelector('input, h1').focus();
}

export const signInDialog = ({ title, text, methods = { operator: ['link'], key: ['key'], owner: [] }[who?.kind], again }) =>
	dialog(title, (close) => [
		h('p', text ?? 'A secret is shown only to somebody who has signed in within 15 minutes.'),
		h('p.quiet', 'What you typed is still there.'),
		parts({ methods, again, done: () => close(true), cancel: button('Cancel', () => close()) }),
	], { look: again ? '' : 'opaque' });

function parts({ methods = ['link', 'key'], again, done, cancel }) {
	const [link, key] = ['link', 'key'].map((method) => methods.includes(method));
	const stop = new AbortController();
	const finish = () => {
		if (stop.signal.aborted) return;
		stop.abort();
		done();
	};
	// Whoever opens a link in another tab is signed in here, too.
	const look = async () => {
		if (!element.isConnected) stop.abort();
		else if (!document.hidden && !(await check()) && (!again || who.fresh)) finish();
	};
	document.addEventListener('visibilitychange', look, stop);
	addEventListener('focus', look, stop);
	const how = ['On the machine of the service, run ', h('code', 'apikey console'), ' and open the link that it prints, or paste it here.'];
	const element = link || key
		? form({
				quiet: true,
				fields: [
					h('p', link ? how : 'Sign in with a key that manages keys.', link && key && ' Or paste an API key that manages keys.'),
					field('key', link && key ? 'Link or key' : link ? 'Link' : 'Key', input({ type: 'password' })),
				],
				action: 'Sign in',
				cancel,
				act: async (data) => {
					const text = data.get('key').trim();
					const code = /code=([^&\s]+)/.exec(text)?.[1];
					if (!text) throw invalid('key', 'Paste it here.');
					await signIn(code ? { code } : { key: text }, again).catch((problem) => {
						throw problem.status === 401 || problem.status === 422 ? invalid('key', problem.detail) : problem;
					});
					finish();
				},
			})
		: h('div', h('p', 'Sign in to the application that brought you here, and come back.'), h('div.actions', button('Try again', look, 'primary'), cancel));
	return element;
}
