"""The pitfalls of protocols like this one, each with the tests that keep it shut. A row whose test is gone fails."""

import pytest

from tests.mutants.patches import has_test
from tests.scripts.test_scripts import FILES

REPLICA = "tests/unit/consensus/replica/"
VALIDITY = "tests/unit/consensus/test_validity.py::"
ATTACKERS = "tests/simulation/test_attackers.py::"
SCRIPTS = "tests/scripts/test_scripts.py::test_script"  # the script's name in brackets

PITFALLS: dict[str, tuple[str, ...]] = {
    "hidden-lock livelock": (
        f"{SCRIPTS}[hidden_qc]",
        f"{ATTACKERS}test_after_a_hidden_qc_no_view_of_an_honest_leader_is_lost_for_long",
    ),
    "the qc_view fork: five views, one Byzantine of four": (
        f"{SCRIPTS}[five_views]",
        f"{REPLICA}test_timing_out.py::test_a_tip_is_reported_with_its_own_justify_view_not_with_the_highest_qc",
        f"{VALIDITY}TestProposal::test_a_re_proposal_of_the_right_id_with_another_view_or_justify_view",
    ),
    "tail-fork attempt": (f"{SCRIPTS}[tail_fork_attempt]", f"{SCRIPTS}[re_proposal]"),
    "timer abuse": (
        f"{ATTACKERS}test_one_that_times_out_early_ends_no_view_but_its_own",
        f"{SCRIPTS}[leader_times_out]",
        f"{REPLICA}test_pacemaker.py::test_it_never_doubles_and_ends_at_the_maximum",
    ),
    "re-proposed QC abandoned": (f"{REPLICA}test_commit.py::test_an_abandoned_re_proposed_qc_is_never_final",),
    "TC with many distinct bodies": (f"{VALIDITY}TestTC::test_with_as_many_different_bodies_as_signers",),
    "withheld tip named by a TC": (
        f"{SCRIPTS}[withheld_tip]",
        f"{ATTACKERS}test_nobody_waits_for_a_tip_that_is_withheld",
    ),
    "entry or fresh swapped by an accuser": (
        f"{VALIDITY}TestProposal::test_an_accuser_cannot_swap_the_entry_or_the_authors_signature",
        f"{VALIDITY}TestTip::test_parts_other_than_those_the_header_commits_to",
    ),
    "timeout body changed after re-broadcast or restart": (
        f"{REPLICA}test_timing_out.py::test_a_timeout_is_re_sent_verbatim_even_if_a_higher_qc_is_known_by_then",
        f"{REPLICA}test_timing_out.py::test_a_timeout_is_re_sent_verbatim_after_a_restart",
        "tests/simulation/test_crash_points.py::test_a_node_that_restarts_between_any_two_effects_says_nothing_twice",
    ),
    "one bad share": (f"{REPLICA}test_on_vote.py::test_one_bad_vote_spoils_nothing",),
    "infinity and out-of-subgroup points": (
        "tests/unit/consensus/test_bls.py::test_a_public_key_has_one_encoding",
        "tests/unit/consensus/test_bls.py::test_a_signature_has_one_encoding",
    ),
    "high-s and malformed recoverable signatures": (
        "tests/unit/consensus/test_signing.py::"
        "test_the_high_twin_of_a_signature_is_refused_although_a_library_recovers_the_key",
        "tests/unit/consensus/test_signing.py::test_a_malformed_signature_is_refused",
    ),
    "duplicate or extra bitmap bits": (
        f"{VALIDITY}TestQC::test_bits_beyond_the_set_and_missing_signatures_do_not_decode",
        f"{VALIDITY}TestTC::test_a_signer_cannot_count_twice",
    ),
    "safety record lost": (
        "tests/unit/storage/test_key_use.py::test_used_keys_without_their_record_are_refused_with_the_remedy",
        f"{REPLICA}test_restart.py::test_a_record_that_names_a_tip_which_is_not_stored_is_a_broken_disk",
    ),
    "safety record older than what was committed": (
        f"{REPLICA}test_restart.py::"
        "TestCommitNewerThanTheRecord::test_its_certificates_count_so_that_no_timeout_contradicts_an_earlier_vote",
    ),
    "author restarting into the same seq": (
        "tests/unit/lanes/test_recovered.py::test_an_author_goes_on_behind_its_newest_batch_wherever_it_is_recorded",
    ),
    "two processes with one key": (
        "tests/integration/storage/test_database.py::test_a_second_process_is_refused_and_told_who_holds_the_home",
    ),
    "memory bounds per sender": (
        "tests/property/test_hostile_messages.py::test_one_peer_fills_nothing_and_stops_nothing",
    ),
    "dedup swallowing re-broadcast timeouts": (
        f"{ATTACKERS}test_a_restart_while_timeouts_are_re_sent_hides_none_of_them",
        f"{REPLICA}test_on_timeout.py::test_a_re_sent_timeout_reaches_one_who_restarted_since",
    ),
    "far-future timestamps": (
        f"{ATTACKERS}test_a_clock_a_year_ahead_moves_no_block_time",
        f"{REPLICA}test_propose.py::test_no_wait_is_longer_than_its_interval_whatever_the_parents_time_says",
        "tests/unit/consensus/ordering/test_block_time.py::test_one_clock_far_ahead_moves_nothing",
    ),
    "idle chain must still finalise the last transaction": (f"{SCRIPTS}[idle_chain]",),
    "view-number jumps": (
        f"{ATTACKERS}test_a_jump_of_views_needs_a_certificate_however_high_the_number_is",
        f"{REPLICA}test_on_vote.py::test_votes_are_kept_for_views_that_can_matter_soon",
    ),
    "unequal stake arithmetic": (
        "tests/simulation/test_cluster.py::test_less_than_a_third_of_the_stake_may_be_dead_and_a_third_may_not",
        f"{SCRIPTS}[unequal_stakes]",
    ),
    "leader without a quorum of reports": (
        f"{REPLICA}test_propose.py::test_a_leader_without_a_quorum_of_reports_waits_for_them",
    ),
    "full power cut of all nodes": (
        f"{SCRIPTS}[power_cut]",
        "tests/simulation/test_crash_points.py::test_a_power_cut_of_all_nodes_between_any_two_effects_is_survived",
    ),
}


@pytest.mark.parametrize("name", PITFALLS)
def test_it_has_its_tests(name: str) -> None:
    missing = [node_id for node_id in PITFALLS[name] if not has_test(node_id)]
    assert not missing


def test_named_scripts_exist() -> None:
    node_ids = [node_id for tests in PITFALLS.values() for node_id in tests]
    named = {node_id.partition("[")[2].rstrip("]") for node_id in node_ids if node_id.startswith(SCRIPTS)}
    assert named <= {path.stem for path in FILES}
