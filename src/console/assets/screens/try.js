// Trying a key: what the service would answer, without a use that counts.

import { send } from '../api.js';
import { badge, chips, facts, keyLink, name } from '../table.js';
import { add, fill, h } from '../dom.js';
import { words } from '../fields.js';
import { field, form, input, invalid, texts } from '../form.js';
import { full } from '../time.js';
import { sentence } from '../words.js';

export const title = 'Try a key';

export function show(view) {
	const verdict = h('section.narrow', { 'aria-live': 'polite' });
	const fields = [
		field('key', 'Key', input({ type: 'password' })),
		field('permissions', 'For', input({ placeholder: 'orders:read' }), { hint: 'All that it must have.' }),
		field('address', 'From', input({ placeholder: '203.0.113.7' }), { hint: 'An address, to check its networks.' }),
	];
	const act = async (data, element) => {
		const given = texts(data, 'key', 'address');
		if (!given.key) throw invalid('key', 'Paste a key.');
		const answer = await send('POST', 'verify', { ...given, permissions: words(data.get('permissions')) });
		element.elements.key.value = '';
		fill(verdict, shown(answer));
	};
	add(view,
		h('div', h('h1', title), h('p.quiet', 'Whether the service takes it, and what for. Nothing is counted, and the key is not kept.')),
		h('section.card.narrow', form({ quiet: true, fields, action: 'Try it', act })),
		verdict);
}

const shown = (answer) =>
	h('div.card',
		h('h2', badge(answer.valid ? 'good' : 'bad', answer.valid ? 'Accepted' : 'Refused'), answer.valid ? ' The service takes this key.' : ` ${sentence(answer.code)}.`),
		answer.key && facts(
			answer.missing && ['Missing', chips(answer.missing)],
			['Key', keyLink(answer.key, answer.key)],
			['Owner', name(answer.owner)],
			answer.tenant && ['Tenant', answer.tenant],
			['Permissions', chips(answer.permissions, 'None')],
			['Ends', answer.end ? full(answer.end) : 'Never'],
			answer.superseded && ['Secret', `Number ${answer.secret_version}, an old one`, answer.superseded_until && `, until ${full(answer.superseded_until)}`],
		));
