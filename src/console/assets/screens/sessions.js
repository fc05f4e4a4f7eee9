// Who is signed in on this node.

import { request } from '../api.js';
import { badge, name, Table, when } from '../table.js';
import { confirm } from '../dialog.js';
import { add, button, card, h, load } from '../dom.js';
import { signOut, who } from '../session.js';
import { sentence } from '../words.js';

export const title = 'Sessions';

export function show(view, { signal, again }) {
	const area = card(title);
	add(view,
		h('header.head', h('div', h('h1', title), h('p.quiet', `Who is signed in${who.node ? ` on ${who.node}` : ''}.`)), button('End all sessions', endAll, 'danger')),
		area);
	load(area, request('GET', 'sessions', { signal }), ({ data: { sessions } }) => {
		const table = new Table(title, [
			['Who', (one) => [name(one.name), one.current && [' ', badge('good', 'You')]]],
			['Signed in as', (one) => sentence(one.kind)],
			['From', (one) => one.address ?? '–'],
			['Since', (one) => when(one.signed_in_at), 'when'],
			['Last seen', (one) => when(one.last_used_at), 'when'],
			['Ends', (one) => when(one.ends_at), 'when'],
		]);
		return table.show(sessions);
	}, again);
}

async function endAll() {
	const done = await confirm('End all sessions?', {
		fields: h('p', 'Everybody is signed out of the console of this node at once, you included.'),
		action: 'End all sessions',
		act: () => request('DELETE', 'sessions'),
	});
	if (done) await signOut();
}
