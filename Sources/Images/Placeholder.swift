import Subprocess
import AsyncHTTPClient
import Crypto
import CZstd
