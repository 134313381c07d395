"""Versions of installed packages."""

from importlib.metadata import PackageNotFoundError, packages_distributions, version


def distribution(package: str) -> tuple[str, str]:
    """Return the name and version of the distribution that provides an import package.

    The two names may differ: the fork ``arq2`` installs ``arq``. The version is ``unknown`` if
    there is no distribution, for example for a copied folder.
    """
    name = package.replace("_", "-")
    try:
        return name, version(name)
    except PackageNotFoundError:
        for other in packages_distributions().get(package, ()):
            return other, version(other)
    return name, "unknown"
