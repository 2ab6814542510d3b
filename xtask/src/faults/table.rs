//! The table: each fault, where it is set, how it has to end, and what shows it.

use super::fault::{Fault, Proof, Test};
use super::rows::{broken, content, cut, disk, given_back, killed, late, pressure, token};

/// The lines of the research's table of faults, and of what has to be refused.
#[cfg(test)]
pub(super) const LINES: &[&str] =
    &[KILL, FULL, JOURNAL, FLIP, CLOCK, PARTITION, REPLY, LEADER, ENDED, TWO, SSH, SECOND, REBOOT, SPEC, REFUSED];

const KILL: &str = "kill -9 before and after every journal write and effect";
const FULL: &str = "disk full";
const JOURNAL: &str = "torn or flipped journal record";
const FLIP: &str = "bit flip or truncation between verify and use";
const CLOCK: &str = "clock 25 hours off, step back in mid-run";
const PARTITION: &str = "partition of joiner, leader, operator";
const REPLY: &str = "promote or remove succeeds, reply lost";
const LEADER: &str = "leader dies during snapshot or upgrade";
const ENDED: &str = "leaf, kubelet or CA expired; token or key expired in mid-join";
const TWO: &str = "two operators";
const SSH: &str = "SSH drop, sudo refusal, changed host key";
const SECOND: &str = "second member fails after the first was upgraded";
const REBOOT: &str = "reboot in mid-step; image GC pressure";
const SPEC: &str = "errors in a spec";
const REFUSED: &str = "plans that must be refused";

const fn test(package: &'static str, file: &'static str, name: &'static str) -> Test {
    Test::Crate { package, file, name }
}

const fn case(scenario: &'static str, name: &'static str) -> Test {
    Test::Case { scenario, name }
}

const NODE: &str = "sealock-node";
const CLUSTER: &str = "sealock-cluster";
const STORE: &str = "sealock-store";
const MAIN: &str = "across-the-gap";
const PLANES: &str = "three-control-planes";
const LOST: &str = "lost-members";

/// Those in the lab go on from where the one before has ended: the first from bare hosts.
pub(super) const TABLE: &[Fault] = &[
    Fault {
        line: KILL,
        name: "the step runner is killed",
        place: "kill -9 on both nodes at 16 records of the journal, from the first run on bare hosts to the last join",
        end: "each time the same command goes on; in the end both nodes are Ready",
        invariants: &[1, 2, 5, 11, 12],
        proof: Proof::Lab(killed::at_every_point),
    },
    Fault {
        line: KILL,
        name: "a run is cut off at every change of a scripted host",
        place: "each change of files and services fails in turn, for apply and for reset",
        end: "the next run finishes it",
        invariants: &[5, 10],
        proof: Proof::Tests(&[
            test(NODE, "crates/node/tests/it/run.rs", "a_run_that_is_cut_off_anywhere_is_finished_by_the_next"),
            test(
                NODE,
                "crates/node/tests/it/reset.rs",
                "apply_and_reset_cut_off_at_any_change_are_finished_by_repeating_them",
            ),
        ]),
    },
    Fault {
        line: KILL,
        name: "the operator is killed",
        place: "kill -9 of apply at the station while nodes work; of joins, restores and resets of one's own etcd again and again",
        end: "the same command finds what goes on, and finishes it",
        invariants: &[2, 5],
        proof: Proof::Tests(&[
            case(MAIN, "cluster: apply interrupted and run again"),
            case(PLANES, "planes: certificates are renewed"),
            case("own-etcd", "etcd: a join killed again and again"),
            case("own-etcd", "etcd: a restore killed again and again"),
            case("own-etcd", "etcd: a reset killed again and again"),
            case("upgrade", "upgrade: killed in the middle, and finished"),
        ]),
    },
    Fault {
        line: REBOOT,
        name: "the joiner loses its power",
        place: "every process of w1 is killed while it fetches images, and the machine boots from its disk",
        end: "the command says so; the same command joins the node",
        invariants: &[2, 5, 12],
        proof: Proof::Lab(killed::power_of_the_joiner),
    },
    Fault {
        line: REBOOT,
        name: "the control plane loses its power while a node joins",
        place: "every process of cp1 is killed while w1 runs kubeadm join, and the machine boots from its disk",
        end: "both are Ready after the same command, at the latest",
        invariants: &[2, 5],
        proof: Proof::Lab(killed::power_of_the_control_plane),
    },
    Fault {
        line: SSH,
        name: "SSH drops",
        place: "the sessions on w1 are killed while it fetches images, and while it joins",
        end: "the unit goes on, the command follows it again, nothing is begun twice",
        invariants: &[5],
        proof: Proof::Lab(cut::ssh),
    },
    Fault {
        line: SSH,
        name: "sudo is refused",
        place: "ops loses its sudo rule on w1 while images are fetched, and the operator is killed",
        end: "who comes back is told, with the rule that is missing; the unit goes on; later the same command finishes",
        invariants: &[5],
        proof: Proof::Lab(cut::sudo),
    },
    Fault {
        line: SSH,
        name: "the host key is another one",
        place: "a spec that pins another key; a user who never had sudo",
        end: "HOST_KEY, and nothing is sent",
        invariants: &[],
        proof: Proof::Tests(&[case(MAIN, "cluster: wrong host key"), case(MAIN, "cluster: no sudo")]),
    },
    Fault {
        line: PARTITION,
        name: "the joiner is cut off from all",
        place: "w1's cable is pulled out of the switch while it fetches images",
        end: "it is named as unreachable and begins no join; with the cable back the same command finishes",
        invariants: &[2, 5],
        proof: Proof::Lab(cut::cable),
    },
    Fault {
        line: PARTITION,
        name: "the joiner is cut off for a while",
        place: "w1's cable is out while kubelet asks for its credentials, until the station has noticed",
        end: "one and the same command comes through",
        invariants: &[2, 5],
        proof: Proof::Lab(cut::cable_for_a_while),
    },
    Fault {
        line: PARTITION,
        name: "the leader is gone, or there is no quorum",
        place: "the first control plane without power; members of a real etcd stopped one by one",
        end: "the others serve; without quorum nothing is begun",
        invariants: &[2, 3, 8],
        proof: Proof::Tests(&[
            case(PLANES, "planes: the first one loses its power"),
            case(PLANES, "planes: the first one comes back"),
            case(PLANES, "planes: one is lost, and replaced"),
            test(
                CLUSTER,
                "crates/cluster/tests/it/etcd/members.rs",
                "without_quorum_nothing_is_begun_and_what_is_known_is_still_told",
            ),
        ]),
    },
    Fault {
        line: PARTITION,
        name: "a further control plane is cut off at each step of its join",
        place: "cp3's cable is pulled out of the switch at 5 records of its journal, and the operator is killed; once it does not come back",
        end: "the others serve and take writes; the same command finishes the join, or cp3 is taken out and joins anew",
        invariants: &[2, 3, 4, 5, 8],
        proof: Proof::Tests(&[
            case(LOST, "lost-members: a joiner is cut off at each step"),
            case(LOST, "lost-members: a joiner is cut off for good, and replaced"),
        ]),
    },
    Fault {
        line: FULL,
        name: "the disk of the node's journal is full",
        place: "w1's /var/lib/sealock on a disk of 1 MiB, with no page left, and then 1, 3 and 7",
        end: "nothing is begun that cannot be written down; with room the same command finishes",
        invariants: &[5, 11],
        proof: Proof::Lab(disk::journal),
    },
    Fault {
        line: FULL,
        name: "the disk of the programs is full",
        place: "w1's /opt/sealock on a disk that holds Sealock and 24 MiB more",
        end: "the file is named, no link leads to half a program; with room the same command finishes",
        invariants: &[1, 5],
        proof: Proof::Lab(disk::programs),
    },
    Fault {
        line: FULL,
        name: "the disk of an import, a lock, a build, a store is full",
        place: "small disks at the station and outside; ENOSPC at every failpoint of the store",
        end: "it stops before the effect, and goes on after room is made",
        invariants: &[5],
        proof: Proof::Tests(&[
            case(MAIN, "import: full disk"),
            case(MAIN, "lock: full disk"),
            case(MAIN, "build: full disk"),
            case(MAIN, "cluster: swap on, small disk"),
            test(STORE, "crates/store/tests/it/faults/mod.rs", "every_fault_at_every_failpoint_leaves_the_store_whole"),
            test(
                STORE,
                "crates/store/tests/it/faults/full.rs",
                "on_a_disk_that_is_really_full_every_work_fails_whole_or_is_done",
            ),
        ]),
    },
    Fault {
        line: FLIP,
        name: "programs change after they were verified",
        place: "a bit of kubeadm flips and kubelet is cut to its half on w1's disk, between two runs of one plan",
        end: "both are found by their digests and fetched again, and nothing else is",
        invariants: &[1, 5],
        proof: Proof::Lab(broken::programs),
    },
    Fault {
        line: FLIP,
        name: "artifacts change on their way",
        place: "flipped and truncated blobs from the registry, release and backup files that were changed after unpacking",
        end: "refused with the digest; nothing is left that could run",
        invariants: &[1],
        proof: Proof::Tests(&[
            test(NODE, "crates/node/tests/it/component.rs", "damage_on_the_way_leaves_nothing_that_could_run"),
            test(NODE, "crates/node/tests/it/pull.rs", "a_blob_arrives_whole_and_only_with_its_digest_and_length"),
            test(NODE, "crates/node/tests/it/etcd.rs", "a_program_that_changed_since_the_plan_is_not_linked"),
            test(NODE, "crates/node/tests/it/backup.rs", "what_was_changed_between_unpacking_and_use_is_refused"),
            test(
                NODE,
                "crates/node/tests/it/run.rs",
                "a_stale_operator_another_site_and_an_unsigned_release_change_nothing",
            ),
        ]),
    },
    Fault {
        line: FLIP,
        name: "an image changes within containerd",
        place: "a bit of the largest layer flips and the smallest blob is cut on w1's disk, after they were verified",
        end: "`cluster diff` names file and digest; the next apply fetches both again, and nothing else is done",
        invariants: &[1, 5, 12],
        proof: Proof::Lab(content::images),
    },
    Fault {
        line: JOURNAL,
        name: "a journal is torn or flipped",
        place: "a journal that ends at each of its bytes; a flipped bit anywhere",
        end: "an incomplete last record is dropped, damage in the middle is refused",
        invariants: &[5],
        proof: Proof::Tests(&[
            test(
                NODE,
                "crates/node/src/journal.rs",
                "a_journal_that_ends_anywhere_keeps_its_whole_records_and_goes_on",
            ),
            test(NODE, "crates/node/src/journal.rs", "a_flipped_bit_is_damage_or_a_shorter_journal"),
        ]),
    },
    Fault {
        line: CLOCK,
        name: "a host's clock is 25 hours off",
        place: "in the facts of a host: machines of the lab share the computer's clock, and a namespace cannot have another",
        end: "PREFLIGHT, with the seconds and the direction",
        invariants: &[],
        proof: Proof::Tests(&[test(
            CLUSTER,
            "crates/cluster/tests/it/plan.rs",
            "a_clock_that_is_25_hours_off_either_way_is_told_and_nothing_is_planned",
        )]),
    },
    Fault {
        line: CLOCK,
        name: "a clock steps back in mid-run",
        place: "times that have not come in what was written down: snapshots, leases of nodes, plans, backups; the station's clock set while a host is asked, and the registry's while it serves",
        end: "waits, leases and what comes first go by what nobody sets; nothing that is needed is taken for old",
        invariants: &[],
        proof: Proof::Tests(&[
            test(
                NODE,
                "crates/node/tests/it/clock.rs",
                "the_snapshot_that_was_just_taken_stays_though_others_say_that_they_were_taken_later",
            ),
            test(NODE, "crates/node/tests/it/clock.rs", "a_snapshot_of_a_time_that_has_not_come_is_none_of_this_hour"),
            test(
                NODE,
                "crates/node/tests/it/clock.rs",
                "a_node_that_is_silent_has_not_reported_lately_because_a_clock_was_set_back",
            ),
            test(
                NODE,
                "crates/node/tests/it/clock.rs",
                "a_node_that_goes_on_to_report_is_waited_for_whatever_its_clock_says",
            ),
            test(
                CLUSTER,
                "crates/cluster/src/operator/files.rs",
                "what_was_saved_last_comes_first_though_the_clock_was_set_back",
            ),
            test(
                CLUSTER,
                "crates/cluster/src/execute/observe.rs",
                "that_the_stations_clock_was_set_while_a_host_was_asked_is_noticed_and_is_not_the_hosts_fault",
            ),
            test(
                CLUSTER,
                "crates/cluster/src/backup/folder.rs",
                "what_says_that_it_was_taken_later_stays_and_counts_for_nothing",
            ),
            test(
                STORE,
                "crates/store/tests/it/pushed/uploads.rs",
                "whoever_sets_the_clock_ends_no_upload_and_keeps_none",
            ),
            test(
                "sealock-server",
                "crates/server/tests/it/clock.rs",
                "nothing_that_was_promised_goes_and_uploads_go_on",
            ),
        ]),
    },
    Fault {
        line: REPLY,
        name: "a change of members succeeds, and its reply is lost",
        place: "a relay before a real etcd that swallows the replies to add, promote, remove and move-leader",
        end: "read again, and done",
        invariants: &[2, 3],
        proof: Proof::Tests(&[
            test(
                CLUSTER,
                "crates/cluster/tests/it/etcd/ambiguous.rs",
                "add_promote_and_remove_are_done_though_every_reply_was_lost",
            ),
            test(CLUSTER, "crates/cluster/tests/it/etcd/ambiguous.rs", "a_request_that_never_arrived_is_asked_again"),
            test(
                CLUSTER,
                "crates/cluster/tests/it/etcd/ambiguous.rs",
                "a_leader_that_moved_although_its_reply_was_lost_has_moved",
            ),
        ]),
    },
    Fault {
        line: LEADER,
        name: "the stream of a snapshot breaks",
        place: "a relay before a real etcd that ends the stream; damaged snapshots",
        end: "begun anew, and after some tries nothing is left of it",
        invariants: &[7],
        proof: Proof::Tests(&[
            test(
                CLUSTER,
                "crates/cluster/tests/it/etcd/snapshots.rs",
                "a_stream_that_breaks_is_begun_anew_and_after_some_tries_nothing_is_left_of_it",
            ),
            test(
                CLUSTER,
                "crates/cluster/tests/it/etcd/snapshots.rs",
                "a_snapshot_is_taken_checked_and_rehearsed_and_a_damaged_one_is_refused",
            ),
        ]),
    },
    Fault {
        line: LEADER,
        name: "the control plane that speaks for the cluster is lost while authorities are replaced",
        place: "cp1 without power in the middle of a stage",
        end: "the stage stays open; with the machine taken out the same command finishes it",
        invariants: &[],
        proof: Proof::Tests(&[case("authorities", "authorities: a control plane is lost in the middle, and replaced")]),
    },
    Fault {
        line: LEADER,
        name: "the leader dies during an upgrade",
        place: "cp3 leads and loses its power as the snapshot is taken; then cp1 leads, which speaks for the cluster, and loses its power when it is through and cp2 is next",
        end: "none is changed beside the dead one, the others serve and take writes; with the machine back the same command goes on",
        invariants: &[2, 5, 7, 8],
        proof: Proof::Tests(&[case(LOST, "lost-members: the leader dies in an upgrade, twice")]),
    },
    Fault {
        line: SECOND,
        name: "the second control plane fails after the first was upgraded",
        place: "kubelet of cp2 does not start as the next version, while cp1 runs it already; containerd of a worker does not",
        end: "halt; the node is what it was, Ready, and takes pods; the cluster serves; the rest is taken back by a command, or goes on",
        invariants: &[],
        proof: Proof::Tests(&[
            case("upgrade-ha", "upgrade-ha: the second control plane fails, and becomes again what it was"),
            case("upgrade-ha", "upgrade-ha: the whole upgrade is taken back"),
            case("components", "components: a worker whose containerd does not start becomes again what it was"),
            test("sealock-node", "crates/node/tests/it/taken_back.rs", "cut_off_anywhere_the_same_again_goes_on"),
        ]),
    },
    Fault {
        line: ENDED,
        name: "all certificates have ended",
        place: "a cluster without power until its leaves and kubelets' certificates are over; authorities that have ended",
        end: "rescue without an API server; an authority that has ended is refused",
        invariants: &[],
        proof: Proof::Tests(&[
            case("rescue", "rescue: without power until all has ended"),
            case("rescue", "rescue: the cluster is back"),
            test(
                CLUSTER,
                "crates/cluster/tests/it/rescue.rs",
                "where_nothing_has_ended_or_an_authority_has_there_is_no_rescue",
            ),
        ]),
    },
    Fault {
        line: ENDED,
        name: "the token ends before it is used",
        place: "w1's runner is killed as kubeadm join begins, and every token is taken away",
        end: "the same command brings another one",
        invariants: &[5, 11],
        proof: Proof::Lab(token::before_use),
    },
    Fault {
        line: ENDED,
        name: "the token ends in kubelet's hands",
        place: "w1 loses its power once kubelet has its token, every token is taken away, and the machine boots",
        end: "the same command starts kubelet with another one",
        invariants: &[5, 11],
        proof: Proof::Lab(token::in_kubelets_hands),
    },
    Fault {
        line: TWO,
        name: "a plan comes too late",
        place: "a plan is saved while w1 is bare, another operator lets w1 join, and the first one carries out his",
        end: "STALE_PLAN, and nothing is written on any node, nor in the site's plans and journals",
        invariants: &[5, 6],
        proof: Proof::Lab(late::plan),
    },
    Fault {
        line: TWO,
        name: "two operators",
        place: "a lower generation, the same one with another nonce, two runs at once, a damaged fence",
        end: "one of them is refused before any effect",
        invariants: &[6],
        proof: Proof::Tests(&[
            test(NODE, "crates/node/src/fence.rs", "a_stale_operator_is_kept_out"),
            test(NODE, "crates/node/src/fence.rs", "two_runs_do_not_meet"),
            test(
                NODE,
                "crates/node/tests/it/run.rs",
                "a_stale_operator_another_site_and_an_unsigned_release_change_nothing",
            ),
            test(CLUSTER, "crates/cluster/tests/it/plan.rs", "a_host_that_changed_makes_the_plan_stale_and_is_named"),
        ]),
    },
    Fault {
        line: REBOOT,
        name: "kubelet collects images",
        place: "w1's kubelet is told that 99% of its disk have to be free",
        end: "an image that nobody pinned goes, those of the cluster stay",
        invariants: &[5, 12],
        proof: Proof::Lab(pressure::images),
    },
    Fault {
        line: KILL,
        name: "after all that the hosts are given back",
        place: "`cluster reset` of the cluster that went through the rows before",
        end: "files, units, mounts, networks, rules and groups are those of before the first row, and the same command makes the cluster again",
        invariants: &[5, 10],
        proof: Proof::Lab(given_back::hosts),
    },
    Fault {
        line: SPEC,
        name: "mistakes in a spec",
        place: "sixteen cluster specs with one mistake each; unknown fields and host keys at the command line",
        end: "refused with line, column, field and value",
        invariants: &[],
        proof: Proof::Tests(&[
            test(CLUSTER, "crates/cluster/tests/it/spec.rs", "mistakes_are_told_with_their_place"),
            test(
                "sealock-cli",
                "crates/cli/tests/it/cluster.rs",
                "an_unknown_field_is_refused_with_place_and_nearest_name",
            ),
            test("sealock-cli", "crates/cli/tests/it/cluster.rs", "a_host_key_that_is_none_is_refused_with_its_place"),
        ]),
    },
    Fault {
        line: REFUSED,
        name: "a majority would be lost",
        place: "every change of every small set of members; a cluster with one member lost",
        end: "QUORUM, before anything is changed",
        invariants: &[2],
        proof: Proof::Tests(&[
            test(
                CLUSTER,
                "crates/cluster/tests/it/etcd/plans.rs",
                "whatever_is_allowed_leaves_a_majority_and_whatever_keeps_one_is_allowed",
            ),
            test(
                CLUSTER,
                "crates/cluster/tests/it/etcd/members.rs",
                "the_only_voter_stays_and_two_clusters_are_not_taken_for_one",
            ),
            case(PLANES, "planes: one is lost, and replaced"),
        ]),
    },
    Fault {
        line: REFUSED,
        name: "a minor version would be passed over",
        place: "plans of upgrades over two minors, back, and beside one that was begun",
        end: "refused with the reason",
        invariants: &[],
        proof: Proof::Tests(&[
            test(
                CLUSTER,
                "crates/cluster/tests/it/upgrade.rs",
                "no_minor_version_is_passed_over_and_what_was_begun_is_finished_first",
            ),
            test(CLUSTER, "crates/cluster/tests/it/upgrade.rs", "what_runs_is_not_applied_over_and_nothing_goes_back"),
        ]),
    },
    Fault {
        line: REFUSED,
        name: "what cannot change would, or a cluster is another's",
        place: "another configuration for a node that is complete; hosts of others",
        end: "FOREIGN, before anything is changed",
        invariants: &[4],
        proof: Proof::Tests(&[
            test(
                NODE,
                "crates/node/tests/it/kubeadm.rs",
                "a_node_that_is_complete_is_not_made_anew_by_another_configuration",
            ),
            test(CLUSTER, "crates/cluster/tests/it/plan.rs", "hosts_of_others_are_refused"),
            test(
                CLUSTER,
                "crates/cluster/tests/it/etcd/plans.rs",
                "data_is_in_the_way_until_somebody_says_that_it_may_be_set_aside",
            ),
            test(NODE, "crates/node/tests/it/etcd.rs", "data_is_moved_aside_and_back_and_never_deleted"),
            case(MAIN, "cluster: existing cluster"),
        ]),
    },
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::e2e::has_case;
    use crate::faults::invariants::INVARIANTS;
    use crate::repo;

    const PAGE: &str = "docs/concepts/fault-table.md";

    #[test]
    fn every_line_has_a_row_and_every_row_a_line() {
        for line in LINES {
            assert!(TABLE.iter().any(|fault| fault.line == *line), "{line}: no row");
        }
        for (n, fault) in TABLE.iter().enumerate() {
            assert!(LINES.contains(&fault.line), "{}: no line", fault.name);
            assert!(TABLE[..n].iter().all(|other| other.name != fault.name), "{} stands twice", fault.name);
        }
    }

    #[test]
    fn every_test_that_is_named_is_there() {
        let root = repo::root().unwrap();
        for fault in TABLE {
            let Proof::Tests(tests) = fault.proof else { continue };
            assert!(!tests.is_empty(), "{}", fault.name);
            for test in tests {
                match *test {
                    Test::Case { scenario, name } => {
                        assert!(has_case(scenario, name), "{scenario} has no case {name:?}")
                    }
                    Test::Crate { package, file, name } => {
                        let folder = package.trim_start_matches("sealock-");
                        assert!(file.starts_with(&format!("crates/{folder}/")), "{file} is not of {package}");
                        let text = fs::read_to_string(root.join(file)).unwrap();
                        assert!(text.contains(&format!("fn {name}(")), "{file} has no {name}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_a_row_of_the_lab_names_is_looked_at_there() {
        for (n, invariant) in (1..).zip(INVARIANTS) {
            assert_eq!(invariant.number, n);
        }
        for fault in TABLE {
            for number in fault.invariants {
                let invariant = INVARIANTS.iter().find(|invariant| invariant.number == *number);
                let invariant = invariant.unwrap_or_else(|| panic!("{} names {number}", fault.name));
                // The tenth is looked at by its row itself, while there is no cluster.
                let is_looked_at = invariant.look.is_some() || *number == 10 || !matches!(fault.proof, Proof::Lab(_));
                assert!(is_looked_at, "{}: {number} is not looked at in the lab", fault.name);
            }
        }
    }

    #[test]
    fn the_page_tells_every_row_as_it_is() {
        let page = fs::read_to_string(repo::root().unwrap().join(PAGE)).unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
        for fault in TABLE {
            let how = match fault.proof {
                Proof::Lab(_) => "lab",
                Proof::Tests(_) => "tests",
            };
            let row = format!("| {} | {} | {} | {how} |", fault.name, fault.place, fault.end);
            assert!(rows.contains(&row.as_str()), "{PAGE} lacks:\n{row}");
        }
    }
}
