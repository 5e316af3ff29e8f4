//! gateway-mtconnect
