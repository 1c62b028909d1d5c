from tests.e2e.packet_switch import QUEUE_S_MAX, Line, PacketSwitch

A, B = bytes([198, 18, 0, 1]), bytes([198, 18, 0, 2])
PACKET = bytes(12) + A + B + bytes(980)


def test_a_narrow_line_makes_packets_wait_and_loses_what_would_wait_too_long():
    switch = PacketSwitch()
    switch.set_lines([A], [B], Line(bytes_per_s=100_000))
    for _ in range(100):
        switch._take(A, B, PACKET)
    waiting = sorted(switch._waiting)
    assert 0 < waiting[-1][0] - waiting[0][0] <= QUEUE_S_MAX
    assert switch.lost[A, B] + switch.carried[A, B] == 100
    assert switch.carried[A, B] <= QUEUE_S_MAX * 100_000 / len(PACKET) + 5
    switch._take(B, A, PACKET)  # the way back is as it was
    assert switch.carried[B, A] == 1
