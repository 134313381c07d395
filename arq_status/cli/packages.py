"""Versions of installed packages."""

from importlib.metadata import PackageNotFoundError, packages_distributions, version


def distribution(package: str) -> tuple[str, str]:
    """Return the name and version of the distribution that an import package belongs to.

    The name may be another than that of the package: the fork ``arq2`` installs ``arq``. Where
    nothing is known of it, as of a copied folder, the version is ``unknown``.
    """
    name = package.replace("_", "-")
    try:
        return name, version(name)
    except PackageNotFoundError:
        for other in packages_distributions().get(package, ()):
            return other, version(other)
    return name, "unknown"
