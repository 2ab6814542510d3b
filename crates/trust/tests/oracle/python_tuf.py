"""Gets manifest.json, or the target named, with python-tuf's client from a repository in a folder, trusting trusted-root.json
only.

Exit codes: 0 the manifest was believed, 3 it was refused; anything else is a fault of this script or its setup.
"""

import pathlib
import shutil
import sys
import tempfile
import urllib.parse

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig


class FolderFetcher(FetcherInterface):
    """Serves file URLs; a missing file is what a web server would call 404."""

    def _fetch(self, url):
        path = pathlib.Path(urllib.parse.unquote(urllib.parse.urlparse(url).path))
        if not path.exists():
            raise DownloadHTTPError("no such file", 404)
        yield path.read_bytes()


def main(folder, target):
    root = (folder / "trusted-root.json").read_bytes()
    with tempfile.TemporaryDirectory() as state, tempfile.TemporaryDirectory() as downloads:
        shutil.copy(folder / "trusted-root.json", pathlib.Path(state, "root.json"))
        updater = Updater(
            metadata_dir=state,
            metadata_base_url=(folder / "metadata").as_uri(),
            target_dir=downloads,
            target_base_url=(folder / "targets").as_uri(),
            fetcher=FolderFetcher(),
            config=UpdaterConfig(prefix_targets_with_hash=False),
            bootstrap=root,
        )
        updater.refresh()
        info = updater.get_targetinfo(target)
        if info is None:
            raise RepositoryError(f"{target} is not listed")
        updater.download_target(info)


if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else "manifest.json")
    except (RepositoryError, DownloadError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(3)
