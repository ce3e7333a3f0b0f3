"""A certificate authority and a server certificate for 127.0.0.1, made when first asked for."""

import functools
import pathlib

import trustme


class Certificates:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    @functools.cached_property
    def _made(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1", "localhost", "*.s3.localhost", "s3.localhost")
        authority.cert_pem.write_to_path(str(self.folder / "authority.pem"))
        issued.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(self.folder / "chain.pem"), append=True)
        return self.folder

    @property
    def authority(self):
        return self._made / "authority.pem"

    @property
    def chain(self):
        return self._made / "chain.pem"

    @property
    def key(self):
        return self._made / "key.pem"
