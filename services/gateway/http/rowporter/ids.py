"""Ids as this vocabulary writes them."""


def template_id(identifier: str) -> str:
    """Such as ``tpl_6764a1b2c3d4e5f607182930``."""
    return f"tpl_{identifier}"


def import_id(identifier: str) -> str:
    """Such as ``imp_6764a1b2c3d4e5f607182931``."""
    return f"imp_{identifier}"
