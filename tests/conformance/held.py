"""Rows that no table of bytes can say, and the tests that hold them."""

from __future__ import annotations

from tests.conformance.rules import Held

PROXY = "tests/nodeagent/proxy/"
HERE = "tests/conformance/"

HELD: tuple[Held, ...] = (
    Held(
        "S15-late-bytes", "RFC 9112, 11.2", "bytes that come late behind an answer, on a kept connection",
        "reach nobody; the connection is not used again",
        [HERE + "test_promises.py::test_bytes_that_come_late_behind_an_answer_reach_nobody"],
    ),
    Held(
        "S16-early-answer", "RFC 9112, 9.3", "a final answer before the upload has ended",
        "is passed on; both connections end",
        [PROXY + "test_backend_faults.py::test_a_final_answer_before_the_upload_ends"],
    ),
    Held(
        "S17-S75-break-at-any-byte", "RFC 9112, 8", "an answer that ends, or is reset, at any byte",
        "502 while nothing was passed on, then a reset: never a clean end",
        [
            HERE + "test_cuts.py::test_an_answer_that_breaks_off_anywhere_is_no_clean_end",
            PROXY + "test_backend_faults.py::test_s75_a_torso_is_never_a_clean_end",
        ],
    ),
    Held(
        "cuts", "RFC 9112, 2.2", "messages cut in two at any byte, by either side", "are the same messages",
        [
            HERE + "test_cuts.py::test_a_request_cut_anywhere_is_the_same_request",
            HERE + "test_cuts.py::test_a_request_cut_anywhere_is_refused_alike",
            HERE + "test_cuts.py::test_an_answer_cut_anywhere_is_the_same_answer",
        ],
    ),
    Held(
        "two-readers", "RFC 9112", "heads and chunks that are nearly right, made at random",
        "what the agent takes, h11 takes, and sees the same message, to its last byte",
        [f"tests/nodeagent/http1/test_two_readers.py::{name}" for name in ("test_requests", "test_responses",
        "test_chunks")],
    ),
    Held(
        "real-backends", "RFC 9112, 9.3", "every request above that passes, before nginx and node",
        "they see as many requests as the agent sent",
        [HERE + "test_real_backends.py::test_they_stay_in_step"],
    ),
    Held(
        "S18-S19-upgrade", "RFC 9110, 7.8", "Upgrade, and an answer other than 101; a 101 to something else",
        "no tunnel: an ordinary answer, or 502; a connection that was switched is not used again",
        [
            PROXY + "test_upgrade.py::test_any_other_answer_is_an_ordinary_one",
            PROXY + "test_upgrade.py::test_an_agreement_to_something_else_is_a_fault_of_the_backend",
            PROXY + "test_upgrade.py::test_a_connection_that_was_switched_carries_whatever_either_side_says",
        ],
    ),
    Held(
        "S20-h2c", "RFC 9113, 3.1", "`Upgrade: h2c` with HTTP2-Settings; other protocols that carry HTTP",
        "are not passed on",
        [PROXY + "test_upgrade.py::test_what_cannot_be_relayed_is_not_asked_for"],
    ),
    Held(
        "S100-websocket", "RFC 6455, 4", "a WebSocket handshake without a valid key or accept; frames before the 101",
        "400, 502, 400: no tunnel",
        [
            PROXY + "test_upgrade.py::test_a_websocket_handshake_that_is_none_reaches_nobody",
            PROXY + "test_upgrade.py::test_an_agreement_to_something_else_is_a_fault_of_the_backend",
            PROXY + "test_upgrade.py::test_words_of_the_other_protocol_before_it_was_agreed_on_open_no_tunnel",
        ],
    ),
    Held(
        "S35-addresses", "-", "loopback, link-local, metadata and other forbidden addresses, in any form, as a target",
        "403, nothing is dialled",
        [
            PROXY + "test_guard.py::test_loopback_in_any_form_is_refused_and_never_dialled",
            PROXY + "test_guard.py::test_the_port_for_mail_is_refused_on_any_address",
        ],
    ),
    Held(
        "S36-rebinding", "-", "a name whose addresses move to loopback, or hold such a one among others",
        "what would be dialled is judged, each time",
        [
            PROXY + "test_guard.py::test_a_name_that_moves_to_loopback_is_refused_from_then_on",
            PROXY + "test_guard.py::test_of_an_answer_with_both_the_public_address_is_used_and_the_other_never_dialled",
        ],
    ),
    Held(
        "S90-registries", "-", "a registry that lists link-local addresses or the agent itself",
        "403, or 502 for the agent itself; loopback too, if `addressGuard.discovery` asks for it",
        [PROXY + "test_guard.py::test_who_is_judged"],
    ),
    Held(
        "S37-S50-circles", "RFC 9110, 7.6.3", "the agent's own address as an endpoint; its own Via above the limit",
        "502",
        [
            PROXY + "test_conversation.py::test_a_circle_is_seen",
            PROXY + "test_conversation.py::test_the_agent_does_not_call_itself",
        ],
    ),
    Held(
        "S39-bytes-before-the-tunnel", "RFC 9110, 9.3.6", "bytes behind CONNECT, before its answer",
        "are held within bounds, then delivered or thrown away; never read as HTTP",
        [
            HERE + "test_promises.py::test_bytes_before_a_tunnel_is_open_are_held_within_bounds_and_are_no_request",
            PROXY + "test_conversation.py::test_connect_opens_a_tunnel_to_a_logical_name",
        ],
    ),
    Held(
        "S40-max-forwards-0", "RFC 9110, 7.6.2 and 9.3.8", "TRACE and OPTIONS with `Max-Forwards: 0`",
        "are answered by the agent: TRACE with what came, less its credentials",
        [
            PROXY + "test_maxforwards.py::test_trace_is_answered_with_what_came_less_its_credentials",
            PROXY + "test_maxforwards.py::test_options_is_answered_with_nothing",
        ],
    ),
    Held(
        "S45-names-without-end", "-", "a flood of Hosts",
        "caches are bounded and let go of what was not used for longest",
        [
            HERE + "test_promises.py::test_names_without_end_fill_no_memory",
            PROXY + "test_bind.py::test_a_full_cache_lets_go_of_what_was_not_used",
        ],
    ),
    Held(
        "S48-context-of-strangers", "RFC 7239, 8", "forged `l5d-*` fields, on a listener with `clearContext`",
        "are not believed, not passed on, not shown",
        [HERE + "test_promises.py::test_a_listener_for_strangers_believes_and_shows_no_context"],
    ),
    Held(
        "S49-S94-names-in-text", "RFC 9112, 11.1", "quotes, bytes above 127, dtab syntax, encoded CR LF in a name",
        "one word on one line in fields, log, metrics and JSON",
        [
            HERE + "test_promises.py::test_a_name_is_one_word_on_one_line_wherever_the_agent_writes_it",
            "tests/nodeagent/telemetry/test_log.py::test_an_event_is_one_json_object_when_nobody_watches",
            "tests/nodeagent/telemetry/test_prometheus.py::test_hostile_names_are_escaped",
        ],
    ),
    Held(
        "S51-continue", "RFC 9110, 10.1.1", "`Expect: 100-continue`", "goes end to end; nobody waits for the other",
        [PROXY + "test_conversation.py::test_100_continue_goes_end_to_end"],
    ),
    Held(
        "S70-slow-head", "RFC 9110, 15.5.9", "a head that comes a byte at a time", "408 after 10 s, however lively",
        [HERE + "test_callers.py::test_a_byte_at_a_time_does_not_hold_a_connection"],
    ),
    Held(
        "S70-S72-too-many-connections", "RFC 9110, 15.6.4",
        "one caller opens as many connections as there may be: silent ones, and heads that do not end",
        "503 with Retry-After for its next one; those that idle longest are closed; another caller gets in",
        [
            PROXY + "test_fair_share.py::test_who_is_alone_has_all_connections_and_then_a_clear_no",
            PROXY + "test_fair_share.py::test_another_caller_gets_in_when_one_has_all_connections",
            PROXY + "test_fair_share.py::test_at_the_limit_what_idles_longest_makes_room_and_work_goes_on",
        ],
    ),
    Held(
        "S72-admin", "-", "silent connections beyond the descriptors of the process",
        "the admin port answers, and says so in numbers; there is room again",
        [
            HERE + "test_callers.py::"
            "test_silent_connections_beyond_all_descriptors_leave_the_admin_port_and_room_for_others",
        ],
    ),
    Held(
        "S71-slow-body", "-", "a body that stops, a reader that reads slowly or not at all",
        "no progress for `streamIdleTimeMs` ends it; memory stays flat",
        [
            PROXY + "test_stall.py::test_a_caller_that_reads_nothing_is_cut_off",
            PROXY + "test_backend_faults.py::test_a_slow_reader_holds_a_fast_backend_and_no_memory",
        ],
    ),
    Held(
        "S72-S73-descriptors", "-", "more connections than descriptors, connections that come and go",
        "accepting pauses, what is there is served, and all recovers",
        [
            HERE + "test_callers.py::test_an_agent_without_descriptors_serves_whom_it_has_and_recovers",
            HERE + "test_callers.py::test_a_thousand_connections_come_and_go",
        ],
    ),
    Held(
        "S74-dead-endpoint", "RFC 9110, 15.6.5", "an endpoint that refuses or swallows connections",
        "another endpoint, or the next alternative of the name",
        [
            PROXY + "test_failover.py::test_the_request_that_finds_it_refusing_is_answered_by_the_next_choice",
            PROXY + "test_failover.py::test_a_connection_that_does_not_come_about_is_as_good_as_a_refusal",
        ],
    ),
    Held(
        "S75-half-close", "RFC 9112, 9.6", "a half-close in a tunnel; a reset", "is passed on; leaves nothing behind",
        [
            PROXY + "test_tunnel.py::test_bytes_and_half_closes_pass_both_ways",
            PROXY + "test_backend_faults.py::test_a_caller_that_resets_leaves_nothing_behind",
        ],
    ),
    Held(
        "S76-memory", "RFC 9110, 15.6.4", "the memory that `memoryLimitMB` allows is used up",
        "503 with Retry-After for new work; old work finishes",
        [PROXY + "test_strain.py::test_new_work_is_refused_and_old_work_finishes"],
    ),
    Held(
        "S77-regular-expressions", "-", "a regular expression in the configuration that can take for ever",
        "`check` refuses it", ["tests/conf/test_regex.py::test_refused"],
    ),
    Held(
        "S78-wall-clock", "-", "a wall clock that jumps by an hour",
        "changes nothing: limits are on the monotonic clock",
        [HERE + "test_promises.py::test_a_wall_clock_that_jumps_changes_nothing"],
    ),
    Held(
        "S79-compressed", "RFC 9110, 8.4", "a compressed body, be it a bomb", "passes untouched, never inflated",
        [PROXY + "test_conversation.py::test_compressed_bytes_pass_untouched"],
    ),
    Held(
        "S96-one-caller", "RFC 970, 3.2", "one local program with a hundred times the load of another",
        "the other has its turn, and a place where requests are bounded",
        [
            PROXY + "test_fair_share.py::test_what_one_caller_has_ready_does_not_hold_up_another",
            PROXY + "test_fair_share.py::test_another_caller_is_answered_when_one_has_all_places_for_requests",
            PROXY + "test_caller.py::test_users_are_told_apart",
        ],
    ),
    Held(
        "S97-killed", "-", "kill -9; a file system that cannot be written", "starts again at once; writes no file",
        [
            HERE + "test_promises.py::test_an_agent_that_was_killed_starts_again_on_its_port_at_once",
            HERE + "test_promises.py::test_an_agent_needs_no_file_that_it_may_write",
        ],
    ),
    Held(
        "S98-post", "RFC 9110, 9.2.2", "502, 503, 504 to a POST whose body was sent",
        "one answer; it is not sent again",
        [HERE + "test_promises.py::test_a_post_whose_body_was_sent_is_answered_once"],
    ),
    Held(
        "S99-hedges", "RFC 9110, 9.2.2", "two copies of a request that race",
        "the first answer wins, the other is cancelled",
        [
            PROXY + "test_hedge.py::test_a_copy_that_is_answered_first_wins_and_the_other_is_cancelled",
            PROXY + "test_hedge.py::test_a_copy_that_is_not_answered_first_is_cancelled",
        ],
    ),
)  # fmt: skip
