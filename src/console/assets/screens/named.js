// What the screens of roles and of tenants have in common.

import { request, segment, get, send } from '../api.js';
import { confirm } from '../dialog.js';
import { add, attempt, button, card, empty, h, load } from '../dom.js';
import { field, input } from '../form.js';
import { Table } from '../table.js';

export function named(view, { signal, again }, { kind, title, columns, mayAdd = true, nothing, fields, read, others }) {
	const [area, place] = [card(title), h('div.problem')];
	const act = (text, does, name) => button(text, () => attempt(place, async () => (await does()) && again()), name ? 'small' : 'primary', { 'aria-label': name && `${text} ${name}` });
	const put = async (name) => {
		const path = `${kind}s/${segment(name ?? '')}`;
		const [held, offered] = await Promise.all([name && request('GET', `api/${path}`), get('permissions')]);
		return confirm(name ? `Change ${name}` : `Add a ${kind}`, {
			fields: [!name && field('name', 'Name', input({ maxlength: 64 }), { required: true, hint: 'Lower-case letters, digits, _ and -' }), fields(held?.data, offered)],
			action: 'Save',
			look: 'primary',
			act: (data) => send('PUT', path + (name ? '' : segment(data.get('name').trim())), read(data, held?.data), 'Saved.', { headers: name && { 'if-match': held.tag } }),
		});
	};
	const adds = () => mayAdd && act(`Add a ${kind}`, () => put());
	add(view, h('header.head', h('h1', title), adds()), place, area);
	load(area, get(`${kind}s`, [], signal), (found) => {
		const all = found[`${kind}s`];
		if (!all.length) return empty(`No ${kind}s yet`, nothing, adds());
		const actions = ['Actions', (one) => [!one.ended && act('Change', () => put(one.name), one.name), others(one, act)], 'acts'];
		return new Table(title, [...columns, actions]).show(all);
	}, again);
}
