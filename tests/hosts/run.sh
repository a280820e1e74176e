#!/usr/bin/env bash
# Two "hosts": network namespaces joined by a veth pair, each with a host name of its own. Ranks start
# through mpirun's remote agent and talk by TCP. Then the link goes dead in the middle.
# usage: tests/hosts/run.sh   (root; iproute2 installed; build/tessera built)
set -u
. "$(dirname "$0")/../tap.sh"
[ "$(id -u)" = 0 ] || skip_all "two hosts: network namespaces need root"
for name in ip unshare h5diff; do
    command -v $name >/dev/null || skip_all "two hosts: $name is missing (packages iproute2, util-linux, hdf5-tools)"
done
a=tess-$$-a b=tess-$$-b net=10.91.$(($$ % 256))

stop() {
    local host id
    for host in $a $b; do
        for id in $(ip netns pids $host 2>/dev/null); do kill -KILL "$id"; done
        ip netns del $host
    done 2>/dev/null
}
ip netns add $a 2>"$work/why" && ip netns add $b 2>>"$work/why" &&
    ip link add veth0 netns $a type veth peer name veth0 netns $b 2>>"$work/why" ||
    skip_all "two hosts: namespaces are not permitted here: $(head -n 1 "$work/why")"
for host in $a $b; do
    [ $host = $a ] && address=$net.1 || address=$net.2
    ip -n $host addr add "$address/24" dev veth0
    ip -n $host link set lo up
    ip -n $host link set veth0 up
done

# Every packet goes to a hardware address that nobody has: no end of the link is told.
cut_link() {
    ip -n $a neigh replace $net.2 lladdr 02:00:00:00:00:99 dev veth0 nud permanent
    ip -n $b neigh replace $net.1 lladdr 02:00:00:00:00:99 dev veth0 nud permanent
}
mend_link() { ip -n $a neigh del $net.2 dev veth0 && ip -n $b neigh del $net.1 dev veth0; }
nothing_runs() { [ -z "$(ip netns pids $a)$(ip netns pids $b)" ]; }

# What ssh does elsewhere: AGENT HOST COMMAND…
cat >"$work/agent" <<END
#!/bin/sh
case \$1 in $net.1) host=$a ;; *) host=$b ;; esac
shift
exec ip netns exec \$host unshare --uts --mount sh -c "hostname \$host; mount -t tmpfs tmpfs $work/own; \$*"
END
chmod +x "$work/agent"
mkdir "$work/own" # a disk of each host's own
printf '%s slots=2\n' $net.1 $net.2 >"$work/hosts"

# train NAME [RUN [PAUSE]]: jobs/local.sh on the first host; three ranks, so that both hosts have some and one has two.
train() {
    TESSERA=$PWD CONFIG=$work/$1.yaml STORE=$work/data.prc.h5 RUN=${2-$work/$1} RANKS=3 HOSTFILE=$work/hosts PAUSE=${3-3} \
        OMPI_MCA_plm_rsh_agent=$work/agent PRTE_MCA_plm_ssh_agent=$work/agent \
        OMPI_MCA_oob_tcp_if_include=$net.0/24 PRTE_MCA_prte_if_include=$net.0/24 OMPI_MCA_btl_tcp_if_include=$net.0/24 \
        "$work/agent" $net.1 timeout -k 10 400 "$PWD/jobs/local.sh" >>"$work/$1.log" 2>&1
}

make_study
study apart
sed -i 's/epochs: .*/epochs: 30/' "$work/apart.yaml"
train apart && grep -q '3 ranks' "$work/apart.log" && same_as_undisturbed apart &&
    pass "two hosts: the same bits as on one" || bad "two hosts" "$work/apart.log"

study own
train own "$work/own/run"
[ $? = 73 ] && grep -q 'that all hosts share' "$work/own.log" &&
    pass "a run directory that one host has not got: refused" || bad "own directories" "$work/own.log"

study cut
train cut "$work/cut" 20 & # time enough to look at the other host
until_true 120 went cut 10 && until_true 120 newest cut || bad "cut: does not train" "$work/cut.log"
began=$SECONDS
cut_link
if until_true 120 grep -q 'starting again in' "$work/cut.log"; then
    pass "link cut: the job ends with an error after $((SECONDS - began)) s"
    remote_gone() { ! ip netns pids $b | grep -q .; }
    until_true $((120 - SECONDS + began)) remote_gone && pass "link cut: nothing is left on the other host" ||
        bad "link cut: the other host goes on"
else
    bad "link cut: still running after two minutes" "$work/cut.log"
fi
end_soon cut
mend_link
until_true 200 nothing_runs && grep -q 'resuming from' "$work/cut.log" && same_as_undisturbed cut &&
    pass "link back: started again by jobs/local.sh, the same bits" || bad "link back" "$work/cut.log"
printf '1..%d\n' $((n_ok + n_bad))
[ $n_bad = 0 ]
