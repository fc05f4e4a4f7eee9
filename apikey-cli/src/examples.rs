//! The examples in `--help` of each command, and in its man page. A test parses every line of them.

macro_rules! examples {
    ($($(#[$attribute:meta])* $name:ident: $($line:literal)+;)+) => {
        $($(#[$attribute])* pub(crate) const $name: &str = concat!("Examples:", $("\n  ", $line),+);)+
        /// All of them.
        #[cfg(test)]
        const ALL: &[&str] = &[$($(#[$attribute])* $name),+];
    };
}

examples! {
    INIT: "apikey --store keys.db init --out admin.key";
    CREATE:
        "apikey create alice --name ci --permission 'orders:read,stock:*' --expires-in 90d"
        "apikey create alice --role reader,deployer --expires-in 90d"
        "apikey create admin --tenant acme --permission 'orders:*,keys:*'"
        "apikey create alice --prefix acme_test --label plan=pro --label region=eu"
        "apikey create alice --label plan=pro --quota 10000/day"
        "apikey create web --limit 100/1m --network 10.0.0.0/8 --rotate-every 30d --out web.key";
    LIST:
        "apikey list --owner alice"
        "apikey list --state active --idle-since 90d --columns id,owner,last-used"
        "apikey list --metadata team=blue --expiring-within 14d"
        "apikey list --role reader --columns id,owner,roles"
        "apikey list --tenant acme"
        "apikey list --owner alice --any-tenant --columns id,tenant,state"
        "apikey list --prefix acme_test --columns id,owner,labels"
        "apikey list --never-used --json";
    SHOW:
        "apikey show 01931a4e"
        "apikey show ak_02yDsGQ6";
    QUOTA:
        "apikey quota 01931a4e"
        "apikey quota --owner alice"
        "apikey quota --tenant acme"
        "apikey quota 01931a4e --json";
    ROTATE:
        "apikey rotate 01931a4e --overlap 24h"
        "apikey rotate 01931a4e --overlap none --out new.key";
    REVOKE:
        "apikey revoke 01931a4e-7c3b --reason 'alice left'"
        "apikey revoke --owner alice --reason leaked --yes"
        "apikey revoke --tenant acme --owner alice --reason 'alice left'"
        "apikey revoke --from ids --count 12";
    CHECK:
        "apikey check --permission orders:read < alice.key"
        "apikey check --peer 192.0.2.7";
    RUN_DUE:
        "apikey run-due --deliver-to /run/secrets/keys"
        "apikey run-due --deliver-by /usr/local/bin/put-secret";
    UPDATE:
        "apikey update 01931a4e --add-permission orders:write --remove-permission stock:read"
        "apikey update 01931a4e --add-role writer --remove-role reader"
        "apikey update 01931a4e --expires-in 30d --metadata team=blue"
        "apikey update 01931a4e --label plan=free --without-label region"
        "apikey update 01931a4e --quota 50000/month+01:00"
        "apikey update 01931a4e --add-uses 500"
        "apikey update 01931a4e --not-before 2027-01-31";
    ENABLE:
        "apikey enable 01931a4e"
        "apikey enable --from ids";
    DISABLE:
        "apikey disable 01931a4e"
        "apikey disable --owner alice --count 3"
        "apikey disable --from ids --yes --report faults";
    ROLE:
        "apikey role put reader --permission 'orders:read,stock:*' --description 'reads orders'"
        "apikey role list";
    ROLE_PUT:
        "apikey role put reader --permission 'orders:read,stock:*' --description 'reads orders'"
        "apikey role put reader --no-permissions";
    ROLE_LIST:
        "apikey role list"
        "apikey role list --json";
    ROLE_SHOW: "apikey role show reader";
    ROLE_DELETE: "apikey role delete reader";
    TENANT:
        "apikey tenant put acme --permission 'orders:*,keys:*' --limit 1000/1m"
        "apikey tenant list"
        "apikey tenant end acme --reason 'the contract has ended' --yes";
    TENANT_PUT:
        "apikey tenant put acme --permission 'orders:*,keys:*' --limit 1000/1m"
        "apikey tenant put acme --permission '*' --quota 1000000/month"
        "apikey tenant put acme --add-uses 500";
    TENANT_LIST:
        "apikey tenant list"
        "apikey tenant list --json";
    TENANT_SHOW: "apikey tenant show acme";
    TENANT_END:
        "apikey tenant end acme --reason 'the contract has ended'"
        "apikey tenant end acme --reason left --count 12";
    OWNER:
        "apikey owner put alice --quota 10000/month"
        "apikey owner list"
        "apikey owner show alice";
    OWNER_PUT:
        "apikey owner put alice --quota 10000/month"
        "apikey owner put alice --tenant acme --quota 500/total"
        "apikey owner put alice --tenant acme --add-uses 500"
        "apikey owner put alice --no-quota";
    OWNER_LIST:
        "apikey owner list"
        "apikey owner list --tenant acme --json";
    OWNER_SHOW: "apikey owner show alice --tenant acme";
    IMPORT:
        "apikey import --owner legacy --permission orders:read --dry-run < keys"
        "apikey import --from sanctum --skip-existing < tokens";
    EXPORT: "apikey export --digests --out keys.jsonl";
    IMPORT_LINES:
        "apikey --store new.db import-lines --make < keys.jsonl"
        "apikey import-lines --skip-existing < keys.jsonl";
    BACKUP:
        "apikey backup /var/backups/keys.backup"
        "apikey backup --verify /var/backups/keys.backup";
    RESTORE: "apikey restore keys.backup --into keys.new --over keys.db";
    SALVAGE: "apikey --store keys.db salvage --into keys.new --report lost";
    DOCTOR: "apikey doctor --json";
    EVENTS:
        "apikey events --last 20"
        "apikey events --key 01931a4e --kind revoked,disabled --since 7d"
        "apikey events --tenant acme --since 30d"
        "apikey events --actor uid:1000 --all --oldest-first"
        "apikey events --follow";
    REFUSALS:
        "apikey refusals"
        "apikey refusals --code address_not_allowed --json";
    USAGE:
        "apikey usage"
        "apikey usage 01931a4e --since 7d"
        "apikey usage --owner alice --since 90d --step day"
        "apikey usage --tenant acme --since 2h --step minute --json"
        "apikey usage --most-used 20 --since 30d";
    PURGE:
        "apikey purge --before 365d --dry-run"
        "apikey purge --before 365d --yes";
    PURGE_EVENTS: "apikey purge-events --before 2026-01-01 --dry-run";
    CLOCK: "apikey clock accept";
    CONSOLE:
        "apikey console"
        "apikey console --end-all";
    CLUSTER:
        "apikey cluster status"
        "apikey cluster leave";
    #[cfg(all(feature = "etcd", feature = "postgres"))]
    CLUSTER_FOUND:
        "apikey cluster found --from keys.db --postgres 'host=db user=apikey dbname=keys' --namespace acme"
        "apikey cluster found --from keys.db --postgres 'host=127.0.0.1 user=apikey sslmode=disable' --single"
        "apikey cluster found --from keys.db --etcd https://10.0.0.1:2379,https://10.0.0.2:2379 --namespace acme";
    #[cfg(all(feature = "postgres", not(feature = "etcd")))]
    CLUSTER_FOUND:
        "apikey cluster found --from keys.db --postgres 'host=db user=apikey dbname=keys' --namespace acme"
        "apikey cluster found --from keys.db --postgres 'host=127.0.0.1 user=apikey sslmode=disable' --single";
    #[cfg(all(feature = "etcd", not(feature = "postgres")))]
    CLUSTER_FOUND: "apikey cluster found --from keys.db --etcd https://10.0.0.1:2379,https://10.0.0.2:2379 --namespace acme";
    CLUSTER_STATUS:
        "apikey cluster status"
        "apikey cluster status --json";
    #[cfg(feature = "postgres")]
    CLUSTER_RESTORE: "apikey cluster restore keys.backup --postgres 'host=db user=apikey dbname=keys' --namespace acme";
    #[cfg(all(feature = "etcd", not(feature = "postgres")))]
    CLUSTER_RESTORE: "apikey cluster restore keys.backup --etcd https://10.0.0.1:2379 --namespace acme";
    CLUSTER_LEAVE: "apikey --store /var/lib/acme/replica.db cluster leave";
    BENCH: "apikey bench --keys 10000";
    COMPLETIONS: "apikey completions bash > /etc/bash_completion.d/apikey";
    MAN: "apikey man --dir /usr/local/share/man/man1";
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::Cli;

    /// The words of a line before a redirection, as a shell reads them.
    fn words(line: &str) -> Vec<String> {
        let line = line.split([' ']).take_while(|word| !["<", ">"].contains(word)).collect::<Vec<_>>().join(" ");
        let quoted = line.split('\'').enumerate().flat_map(|(at, part)| match at % 2 {
            1 => vec![part.to_owned()],
            _ => part.split_whitespace().map(str::to_owned).collect(),
        });
        quoted.collect()
    }

    #[test]
    fn every_example_is_a_command() {
        let lines = ALL.iter().flat_map(|examples| examples.lines().skip(1));
        for line in lines {
            if let Err(error) = Cli::try_parse_from(words(line)) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn every_command_has_examples_of_its_own() {
        for command in Cli::command().get_subcommands() {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let name = format!(" {}", command.get_name());
            assert!(examples.lines().count() > 1, "{name}");
            assert!(examples.lines().skip(1).all(|line| line.contains(&name)), "{name}");
        }
    }
}
