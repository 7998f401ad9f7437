# PostgreSQL: a new database, eight clients on the loopback, and a few questions. $1: where its programs are; $2: a port.
set -eu
if [ "$(id -u)" = 0 ]; then
    # It does not run as root; and nobody else may be able to read what root has built.
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    chmod 755 "$copy"
    preload=${LD_PRELOAD:-}
    if [ -n "$preload" ]; then install -m 755 "$preload" "$copy/preload.so" && preload=$copy/preload.so; fi
    LD_PRELOAD=$preload setpriv --reuid=65534 --regid=65534 --clear-groups bash -c "$(cat "$0")" bash "$@"
    exit
fi
programs=$1 port=$2
folder=$(mktemp -d)
trap 'kill -INT "$server" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
server=
"$programs/initdb" -D "$folder/data" -A trust -U user --no-sync >/dev/null 2>&1
"$programs/postgres" -D "$folder/data" -p "$port" -k "$folder" -c fsync=off -c shared_buffers=32MB >"$folder/log" 2>&1 &
server=$!
tool() { "$programs/$1" -h 127.0.0.1 -p "$port" -U user "${@:2}"; }
for _ in $(seq 100); do
    tool pg_isready -q 2>/dev/null && break
    sleep 0.1
done
tool pgbench -i -q -s 1 postgres >/dev/null 2>&1
tool pgbench -c 8 -j 2 -t 50 postgres 2>/dev/null | grep -E 'processed|failed'
tool psql -d postgres -At 2>/dev/null <<'SQL'
select count(*), sum(length(x)), md5(string_agg(x, ',' order by x))
from (select md5(i::text) || repeat('a', i % 100) x from generate_series(1, 50000) i) t;
select sum(tbalance) = (select sum(bbalance) from pgbench_branches), count(*) from pgbench_tellers;
create index on pgbench_accounts (abalance, aid);
select jsonb_agg(to_jsonb(b)) from (select bid, filler from pgbench_branches) b;
SQL
grep -E 'slabfit: |PANIC|terminated' "$folder/log" || true
