import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.text_normalization import InvalidUtf8, normalize, normalized_pieces


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("a\r\nb", "a\nb"),
        ("a\rb", "a\nb"),
        ("a\n\rb", "a\n\nb"),
        ("a\r\r\nb\r", "a\n\nb\n"),
        ("\ufeffa\r\n", "a\n"),
        ("a\ufeffb", "a\ufeffb"),
        ("\r\n", "\n"),
        ("", ""),
    ],
)
def test_line_ends_and_a_leading_byte_order_mark_are_normalized(text: str, normalized: str) -> None:
    assert normalize(text) == normalized
    assert "".join(normalized_pieces([text.encode()])) == normalized


@given(st.text(st.sampled_from("a\r\né😀\ufeff")), st.integers(1, 5))
def test_pieces_of_any_size_give_the_same_text(text: str, size: int) -> None:
    data = text.encode()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]

    assert "".join(normalized_pieces(pieces)) == normalize(text)


@given(st.text(st.sampled_from("a\r\n")))
def test_normalized_text_stays_the_same(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("data", "offset"), [(b"ab\xff", 2), (b"\xef\xbb\xbfab\xffc", 5), (b"abc\xc3", 3), (b"a\xe2\x82A", 1)]
)
def test_first_invalid_byte_is_named_by_its_offset_in_the_whole_text(data: bytes, offset: int, size: int) -> None:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]

    with pytest.raises(InvalidUtf8) as raised:
        list(normalized_pieces(pieces))

    assert raised.value.offset == offset
