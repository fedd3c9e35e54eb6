import Hummingbird
import HummingbirdTLS
import X509
enum APIPlaceholder {}
