from PIL import Image

from lora_lab.demo.dataset import write_dataset


def test_a_kohya_folder(tmp_path):
    target = write_dataset(tmp_path, images=5, seed=3)
    assert target == tmp_path / "15_mikocat girl"
    assert sorted(p.name for p in target.iterdir()) == sorted(
        f"{i:03d}.{kind}" for i in range(5) for kind in ("png", "txt")
    )
    for i in range(5):
        assert Image.open(target / f"{i:03d}.png").size == (64, 64)
        caption = (target / f"{i:03d}.txt").read_text().strip()
        assert caption.startswith("mikocat, 1girl, ")
        assert "background" in caption
        assert "hair" not in caption


def test_the_seed_decides(tmp_path):
    def files(name: str, seed: int) -> list[bytes]:
        return [p.read_bytes() for p in sorted(write_dataset(tmp_path / name, 3, seed).iterdir())]

    assert files("a", 0) == files("b", 0)
    assert files("c", 1) != files("a", 0)
