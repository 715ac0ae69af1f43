"""The reader of compiled programs counts what is known to be there."""

from __future__ import annotations

import pytest

from training import hlo

LOOP = """\
HloModule jit_f, is_scheduled=true

%body (p: (s32[], bf16[512,1024], s32[])) -> (s32[], bf16[512,1024], s32[]) {
  %one = s32[]{:T(128)} constant(1)
  %p = (s32[]{:T(128)}, bf16[512,1024]{1,0}, s32[]) parameter(0)
  %counter = s32[]{:T(128)} get-tuple-element(%p), index=0
  %bound = s32[] get-tuple-element(%p), index=2
  %copied = s32[]{:T(128)S(6)} copy(%counter)
  %next = s32[]{:T(128)} add(%copied, %one)
  %x = bf16[512,1024]{1,0} get-tuple-element(%p), index=1
  %y = bf16[512,1024]{1,0} fusion(%x), kind=kOutput, calls=%inner, backend_config={"estimated_cycles":"1000"}
  %z = bf16[512,1024]{1,0} all-reduce(%y), channel_id=1, replica_groups=[1,8]<=[8], to_apply=%add
  ROOT %t = (s32[], bf16[512,1024], s32[]) tuple(%next, %z, %bound)
}

%condition (q: (s32[], bf16[512,1024], s32[])) -> pred[] {
  %q = (s32[], bf16[512,1024], s32[]) parameter(0)
  %i = s32[] get-tuple-element(%q), index=0
  %n = s32[] get-tuple-element(%q), index=2
  ROOT %less = pred[] compare(%i, %n), direction=LT, backend_config={"estimated_cycles":"10"}
}

%inner (a: bf16[512,1024]) -> bf16[512,1024] {
  %a = bf16[512,1024] parameter(0)
  ROOT %b = bf16[512,1024] negate(%a), backend_config={"estimated_cycles":"77777"}
}

%add (l: bf16[], r: bf16[]) -> bf16[] {
  %l = bf16[] parameter(0)
  %r = bf16[] parameter(1)
  ROOT %sum = bf16[] add(%l, %r)
}

ENTRY %main (w: bf16[512,1024]) -> bf16[512,1024] {
  %w = bf16[512,1024]{1,0} parameter(0)
  %start = s32[] constant(2)
  %stop = s32[] constant(9)
  %packed = (s32[], bf16[512,1024], s32[]) tuple(%start, %w, %stop)
  %loop = (s32[], bf16[512,1024], s32[]) while(%packed), condition=%condition, body=%body
  ROOT %out = bf16[512,1024] get-tuple-element(%loop), index=1
}
"""


def test_a_loop_counts_as_often_as_it_turns() -> None:
    cost = hlo.cost(hlo.parse(LOOP), devices=8)
    assert cost.cycles == 7 * 1000 + 8 * 10
    assert cost.counts == {"all-reduce": 7}
    assert cost.received_bytes == 7 * 2 * (512 * 1024 * 2) * 7 / 8


def test_a_loop_that_tells_its_trip_count_is_believed() -> None:
    told = LOOP.replace("body=%body\n", 'body=%body, backend_config={"known_trip_count":{"n":"3"}}\n')
    assert hlo.cost(hlo.parse(told), devices=8).cycles == 3 * 1000 + 4 * 10


def test_a_loop_without_a_known_end_is_no_number() -> None:
    program = hlo.parse(LOOP.replace("%stop = s32[] constant(9)", "%stop = s32[] parameter(1)"))
    with pytest.raises(hlo.UnreadableProgram, match="trip count of the loop loop cannot be read"):
        hlo.cost(program, devices=8)


def test_a_scattered_sum_written_as_a_fusion_counts_once() -> None:
    text = """\
%all-reduce-scatter.7 (a: f32[64,128]) -> f32[8,128] {
  %a = f32[64,128] parameter(0)
  %sum = f32[64,128] all-reduce(%a), channel_id=1, replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%add
  ROOT %mine = f32[8,128] dynamic-slice(%sum), dynamic_slice_sizes={8,128}
}

ENTRY %main (w: f32[64,128]) -> f32[8,128] {
  %w = f32[64,128] parameter(0)
  ROOT %out = f32[8,128] fusion(%w), kind=kCustom, calls=%all-reduce-scatter.7
}
"""
    cost = hlo.cost(hlo.parse(text), devices=8)
    assert cost.received == {"reduce-scatter": 64 * 128 * 4 * 7 / 8}


def test_sizes_of_types() -> None:
    assert hlo.size_bytes("bf16[8,128]{1,0:T(8,128)(2,1)S(1)}") == 2048
    assert hlo.size_bytes("(f32[4]{0}, s32[], pred[3], f8e4m3fn[5])") == 16 + 4 + 3 + 5


def test_text_without_a_program_is_refused() -> None:
    with pytest.raises(hlo.UnreadableProgram, match="no ENTRY"):
        hlo.parse("HloModule nothing")
