//! `in_cidr(ip, '10.0.0.0/8')`: whether an address is in a network.

use std::net::IpAddr;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use ipnet::{IpNet, Ipv4Net};

/// (address, network) to whether the one is in the other; null for null, and for what is no address.
///
/// An address of IPv6 that stands for one of IPv4 (`::ffff:10.0.0.1`, RFC 4291 section 2.5.5.2) is that one, and so is such a
/// network.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct InCidr {
    signature: Signature,
}

impl InCidr {
    pub fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for InCidr {
    fn name(&self) -> &str {
        "in_cidr"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [addresses, networks] = arrays.as_slice() else {
            return exec_err!("in_cidr takes an address and a network");
        };
        let (addresses, networks) = (addresses.as_string::<i32>(), networks.as_string::<i32>());
        // The network is nearly always a constant, which is read once.
        let mut read: Option<(&str, IpNet)> = None;
        let mut inside = BooleanArray::builder(addresses.len());
        for (address, network) in addresses.iter().zip(networks) {
            let network = match (network, read) {
                (None, _) => None,
                (Some(text), Some((before, network))) if text == before => Some(network),
                (Some(text), _) => {
                    let network = network_of(text)?;
                    read = Some((text, network));
                    Some(network)
                }
            };
            let address = address.and_then(|text| text.parse::<IpAddr>().ok());
            inside.append_option(
                address.zip(network).map(|(address, network)| network.contains(&address.to_canonical())),
            );
        }
        Ok(ColumnarValue::Array(Arc::new(inside.finish())))
    }
}

/// A network as people write it; an address alone is the network of itself.
fn network_of(text: &str) -> Result<IpNet> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    match network {
        Some(IpNet::V6(network)) => Ok(canonical(network).unwrap_or(IpNet::V6(network))),
        Some(network) => Ok(network),
        None => exec_err!("`{text}` is no network; write it as '10.0.0.0/8' or '2001:db8::/32'"),
    }
}

/// The network of IPv4 that one of IPv6 stands for.
fn canonical(network: ipnet::Ipv6Net) -> Option<IpNet> {
    let address = network.addr().to_ipv4_mapped()?;
    Ipv4Net::new(address, network.prefix_len().checked_sub(96)?).ok().map(IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_they_are_written() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("0.0.0.0/0", "255.1.1.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.2.3.4", true),
            ("::/0", "10.0.0.1", false),
        ] {
            let read = network_of(network).expect(network);
            let address: IpAddr = address.parse().expect(address);
            assert_eq!(read.contains(&address.to_canonical()), inside, "{address} in {network}");
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "ten", "10.0.0.0/-1", "fe80::1%eth0/64"] {
            assert!(network_of(wrong).is_err(), "{wrong}");
        }
    }
}
