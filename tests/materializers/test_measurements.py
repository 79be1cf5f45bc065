from materializers.measurements import figures_table
from saga.retrieval.measurements import Measurements


def test_the_table_names_every_figure_with_its_unit_and_shows_hostile_text_as_text():
    page = figures_table(
        Measurements(
            "<script>alert(1)</script>",
            "digest",
            {"encode_ms_p50": 12.345678, "embedding_width": 128},
            {"device": "<b>GPU\u202e</b>"},
        )
    )
    assert "<tr><th>encode_ms_p50</th><td>12.3457 ms</td></tr>" in page
    assert "<tr><th>embedding_width</th><td>128</td></tr>" in page
    assert "&lt;script&gt;alert(1)" in page and "&lt;b&gt;GPU�" in page
    assert "<script" not in page and "<b>" not in page
