"""What one slot sends: tensors and JSON become payloads, one where several slots get the same, and these signed frames.

Nothing is sent here: `channels.base` hands the frames to the transport.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from channels.codec import Codec
from channels.config import ChannelConfig
from channels.errors import ConfigError
from channels.frame import EVERY, Header, pack_frame, run_tag, split_message
from channels.sample_book import Message, Page, SampleBook
from channels.tags import Tag
from channels.tensors import LiveTensor
from channels.transport import Key, Outgoing

PayloadGroup = tuple[list[int], Tag, bytes]  # slots, tag, payload


class Outbox:
    """Encodes, signs and cuts the messages of the slot that `config` names."""

    def __init__(self, config: ChannelConfig, codec: Codec, book: SampleBook) -> None:
        self._config = config
        self._codec = codec
        self._book = book

    def tensors(self, messages: Iterable[Message]) -> list[PayloadGroup]:
        """Payloads of (slot, tag, tensor) messages; neighbours of the same object are encoded once, and one group.

        Raises:
            CodecError: if a tensor cannot travel.
        """
        payloads: dict[int, bytes] = {}  # of the last tensor, by what the receiver knows
        groups: dict[tuple[Tag, int], PayloadGroup] = {}
        told, last = Page(), None
        for slot, tag, tensor in messages:
            if tensor is not last:
                payloads.clear()
                last = tensor
            known = self._book.known_to(slot, tag) if isinstance(tensor, LiveTensor) else None
            if id(known) not in payloads:
                payloads[id(known)] = self._codec.encode(tensor, known)
            payload = payloads[id(known)]
            groups.setdefault((tag, id(payload)), ([], tag, payload))[0].append(slot)
            told.note(slot, tag, tensor)
        self._book.note_sent(told)
        return list(groups.values())

    def json(self, slots: Sequence[int], tag: Tag, value: object) -> PayloadGroup:
        """Payload of a JSON value.

        Raises:
            CodecError: if the value is none, or too large.
        """
        return list(slots), tag, self._codec.encode_json(value)

    def frames(self, groups: Iterable[PayloadGroup], max_payload: int) -> list[Outgoing]:
        """All frames, of at most `max_payload` bytes of payload each; the slots of a group get the same objects.

        Raises:
            ConfigError: if there is no such slot.
        """
        return [frame for group in groups for frame in self._frames(*group, max_payload)]

    def _frames(self, slots: Sequence[int], tag: Tag, payload: bytes, max_payload: int) -> Iterator[Outgoing]:
        me = self._config
        if wrong := [slot for slot in slots if not 0 <= slot < me.slots]:
            raise ConfigError(f"send {tag}: expected a slot in [0, {me.slots}), got {wrong[0]}")
        destination = slots[0] if len(slots) == 1 else EVERY
        header = Header(run_tag(me.run_id), me.attempt, me.epoch, tag, me.slot, destination, 0, 1, len(payload))
        for frame in split_message(header, payload, max_payload):
            data = pack_frame(frame, me.mac_key)
            yield from (Outgoing(Key(me.slot, slot, tag), data) for slot in slots)
