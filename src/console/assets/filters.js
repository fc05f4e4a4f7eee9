// The filters of the list of keys. They are in the address bar.

import { h } from './dom.js';
import { field, input, more, select } from './form.js';
import { isOwner, who } from './session.js';
import { fromField, full, toField } from './time.js';
import { STATES } from './words.js';

const TEXTS = { owner: 'Owner', tenant: 'Tenant', permission: 'Permission', role: 'Role', prefix: 'Prefix' };
const TIMES = { expiring_before: 'Ends before', idle_since: 'Not used since' };
const METADATA = 'metadata.';

export const filtersOf = (query) => [...query].filter(([name]) => name !== 'sort' && name !== 'cursor');

export const inWords = (filters) =>
	filters.map(([name, value]) => `${(TEXTS[name] ?? TIMES[name] ?? name.replace(METADATA, '')).toLowerCase()} ${TIMES[name] ? full(value) : value}`).join(', ');

export function asBody(filters) {
	const of = (metadata) => filters.filter(([name]) => name.startsWith(METADATA) === metadata);
	const metadata = of(true).map(([name, value]) => [name.slice(METADATA.length), value]);
	return { ...Object.fromEntries(of(false)), ...(metadata.length && { metadata: Object.fromEntries(metadata) }) };
}

export function filterForm(query, apply) {
	const [owner, value] = [isOwner(), (name) => query.get(name) ?? ''];
	const [name, entry] = [...query].find(([name]) => name.startsWith(METADATA)) ?? [];
	const search = input({ type: 'search', value: value('text'), placeholder: owner ? 'Name' : 'Owner, name or metadata' });
	const element = h('form.filters', { role: 'search' },
		h('div.row',
			field('text', 'Search', search),
			field('state', 'State', select([['', 'Any'], ...Object.entries(STATES).map(([state, [, name]]) => [state, name])], value('state'))),
			field('sort', 'Order', select([['', 'Oldest first'], ['expires', 'Next to end'], ['last_used', 'Last used']], value('sort'))),
			h('button', { type: 'submit' }, 'Show')),
		!owner && more('More filters', name || Object.keys({ ...TEXTS, ...TIMES }).some(value),
			h('div.grid',
				Object.entries(TEXTS).map(([name, label]) => (name !== 'tenant' || !who.tenant) && field(name, label, input({ value: value(name) }))),
				Object.entries(TIMES).map(([name, label]) => field(name, label, input({ type: 'datetime-local', value: toField(value(name)) }))),
				field('metadata', 'Metadata', input({ value: name ? `${name.slice(METADATA.length)}=${entry}` : '', placeholder: 'team=blue' })))));
	const read = ([name, text]) => {
		if (TIMES[name] && text) return [name, text === toField(value(name)) ? value(name) : fromField(text)];
		const [key, ...rest] = text.trim().split('=');
		return name === 'metadata' ? [METADATA + key, rest.join('=')] : [name, text.trim()];
	};
	const submit = (event) => {
		event.preventDefault();
		apply([...new FormData(element)].map(read));
	};
	element.addEventListener('submit', submit);
	element.addEventListener('change', (event) => event.target.matches('select') && submit(event));
	return element;
}
