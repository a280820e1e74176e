#!/usr/bin/env bash
# Two "hosts": network namespaces joined by a veth pair, each with a host name of its own. Ranks start
# through mpirun's remote agent and talk by TCP. Then the link goes dead in the middle.
# usage: tests/hosts/run.sh   (root; iproute2 installed; build/tessera built)
set -u
. "$(dirname "$0")/../tap.sh"
. "$(dirname "$0")/hosts.sh"

# Every packet goes to a hardware address that nobody has: no end of the link is told.
cut_link() {
    ip -n $a neigh replace $net.2 lladdr 02:00:00:00:00:99 dev veth0 nud permanent
    ip -n $b neigh replace $net.1 lladdr 02:00:00:00:00:99 dev veth0 nud permanent
}
mend_link() { ip -n $a neigh del $net.2 dev veth0 && ip -n $b neigh del $net.1 dev veth0; }
nothing_runs() { [ -z "$(ip netns pids $a)$(ip netns pids $b)" ]; }

# train NAME [RUN [PAUSE]]: jobs/local.sh on the first host; three ranks, so that both hosts have some and one has two.
train() {
    TESSERA=$PWD CONFIG=$work/$1.yaml STORE=$work/data.prc.h5 RUN=${2-$work/$1} RANKS=3 HOSTFILE=$work/hosts PAUSE=${3-3} \
        on_hosts timeout -k 10 400 "$PWD/jobs/local.sh" >>"$work/$1.log" 2>&1
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
