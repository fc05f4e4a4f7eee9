// Dialogs. The browser keeps the focus inside, and gives it back afterwards.

import { add, button, h, newId } from './dom.js';
import { form } from './form.js';

// Resolves with what `close` is given. A `held` one takes no Escape.
export const dialog = (title, build, { held, look = '' } = {}) =>
	new Promise((resolve) => {
		const id = newId();
		const element = h(`dialog.${look}`, { 'aria-labelledby': id, closedby: held && 'none' });
		let [open, result] = [held, undefined];
		element.addEventListener('cancel', (event) => held && event.preventDefault());
		element.addEventListener('close', () => {
			// Browsers close a dialog at the second Escape, whatever the page says.
			if (open) return element.showModal();
			element.remove();
			resolve(result);
		});
		const close = (value) => {
			[open, result] = [false, value];
			element.close();
		};
		document.body.append(add(element, h('h2', { id }, title), build(close)));
		element.showModal();
	});

export const confirm = (title, { fields, action, look = 'danger', act }) =>
	dialog(title, (close) => form({ fields, action, look, cancel: button('Cancel', () => close()), act: async (data) => close(await act(data)) }));

export const closeDialogs = () => document.querySelectorAll('dialog:not([closedby=none])').forEach((element) => element.close());
