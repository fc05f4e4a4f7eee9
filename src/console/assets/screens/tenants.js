// Tenants.

import { segment, send } from '../api.js';
import { badge, chips, name, when } from '../table.js';
import { confirm } from '../dialog.js';
import { h, link } from '../dom.js';
import { limits, readLimits, words } from '../fields.js';
import { field, input, invalid, reason, texts } from '../form.js';
import { to } from '../router.js';
import { who } from '../session.js';
import { limit, quota } from '../words.js';
import { named } from './named.js';

export const title = 'Tenants';

export const show = (view, place) =>
	named(view, place, {
		kind: 'tenant',
		title,
		mayAdd: !who.tenant,
		nothing: 'A tenant bounds the keys of one customer.',
		columns: [
			['Tenant', (one) => [name(one.name), one.ended && [' ', badge('bad', 'Ended', one.ended.reason)]]],
			['At most', (one) => chips(one.permissions, 'Nothing')],
			['Rate limit', (one) => limit(one.limit)],
			['Quota', (one) => quota(one.quota)],
			['Changed', (one) => when(one.changed_at), 'when'],
		],
		fields: (tenant) => [
			field('permissions', 'The most that its keys may do', input({ value: (tenant?.permissions ?? ['*']).join(' ') }), { hint: 'Separated by spaces. * is everything.' }),
			limits(tenant),
		],
		read: (data, tenant) => ({ permissions: words(data.get('permissions')), ...readLimits(data, tenant) }),
		others: ({ name, ended }, act) => [!ended && act('End', () => end(name), name), link('Keys', to('keys', [['tenant', name]]), 'button.small')],
	});

const end = (name) =>
	confirm(`End ${name}?`, {
		fields: [
			h('p', 'Every key of this tenant is refused from now on, and it can have no new ones. This cannot be undone.'),
			reason(),
			field('name', `Type ${name} to confirm`, input()),
		],
		action: 'End the tenant',
		act: (data) => {
			if (data.get('name').trim() !== name) throw invalid('name', `Type ${name}, the name of the tenant.`);
			return send('POST', `tenants/${segment(name)}/end`, texts(data, 'reason'), `${name} has ended.`);
		},
	});
