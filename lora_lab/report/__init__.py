"""The static report of a sweep: one page that reads like an article, with its images beside it."""

from lora_lab.report.page import PAGE, PARTS, Link, write_report
from lora_lab.report.words import LANGUAGES

__all__ = ["LANGUAGES", "PAGE", "PARTS", "Link", "write_report"]
