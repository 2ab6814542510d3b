//! One token and one key in it, through the vendor's library.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism as Pkcs11Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use crate::failure::{Code, Failure};
use crate::protocol::{
    Bytes, KeyQuery, LoginBy, Mechanism, Open, Opened, PinState, Public, Ready, Sign, Signed, TokenQuery,
};

/// So many are named where none, or more than one, fits.
const NAMED: usize = 8;

/// A token with a session.
pub struct Token {
    library: Pkcs11,
    slot: Slot,
    info: TokenInfo,
    session: Session,
}

impl Token {
    /// Loads the library and finds the one token that is as it was asked for.
    pub fn open(open: &Open) -> Result<Self, Failure> {
        if !open.module.is_file() {
            return Err(Failure::new(Code::ModuleMissing, "there is no such file"));
        }
        let unusable = |error: Error| Failure { code: Code::ModuleUnusable, ..error.into() };
        let library = Pkcs11::new(&open.module).map_err(unusable)?;
        library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(unusable)?;
        let (slot, info) = find_token(&library, &open.token)?;
        let session = library.open_ro_session(slot)?;
        Ok(Self { library, slot, info, session })
    }

    pub fn describe(&self) -> Opened {
        Opened {
            label: self.info.label().to_owned(),
            manufacturer: self.info.manufacturer_id().to_owned(),
            model: self.info.model().to_owned(),
            serial: self.info.serial_number().to_owned(),
            login: self.login_by(),
            pin: pin_state(&self.info),
        }
    }

    fn login_by(&self) -> LoginBy {
        match (self.info.login_required(), self.info.protected_authentication_path()) {
            (false, _) => LoginBy::None,
            (true, true) => LoginBy::Keypad,
            (true, false) => LoginBy::Pin,
        }
    }

    /// Logs in, once.
    pub fn login(&self, pin: Option<&AuthPin>) -> Result<(), Failure> {
        let pin = match (self.login_by(), pin) {
            (LoginBy::None, _) => return Ok(()),
            (LoginBy::Keypad, _) => None,
            (LoginBy::Pin, Some(pin)) => Some(pin),
            (LoginBy::Pin, None) => return Err(Failure::new(Code::Protocol, "the token asks for a PIN")),
        };
        match self.session.login(UserType::User, pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error) => {
                // The counter has moved: what it says now is what the person has to know.
                let state = self.library.get_token_info(self.slot).map(|info| pin_state(&info));
                Err(state.into_iter().fold(Failure::from(error), Failure::pin))
            }
        }
    }

    /// The one private key that is as it was asked for.
    pub fn find(&self, wanted: &KeyQuery) -> Result<Key<'_>, Failure> {
        if wanted.label.is_none() && wanted.id.is_none() {
            return Err(Failure::new(Code::Protocol, "the key is not named"));
        }
        let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
        template.extend(wanted.label.clone().map(|label| Attribute::Label(label.into_bytes())));
        template.extend(wanted.id.clone().map(|id| Attribute::Id(id.0)));
        let found = self.session.find_objects(&template)?;
        let handle = match found.as_slice() {
            [handle] => *handle,
            [] => {
                let all = self.session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])?;
                return Err(Failure::new(Code::NoKey, "no private key fits").found(self.names(&all)));
            }
            several => {
                let failure = Failure::new(Code::AmbiguousKey, format!("{} private keys fit", several.len()));
                return Err(failure.found(self.names(several)));
            }
        };
        if let Some(Attribute::Sign(false)) = self.attribute(handle, AttributeType::Sign)? {
            return Err(Failure::new(Code::KeyCannotSign, "its CKA_SIGN is false"));
        }
        if let Some(Attribute::AlwaysAuthenticate(true)) = self.attribute(handle, AttributeType::AlwaysAuthenticate)? {
            return Err(Failure::new(Code::AlwaysAuthenticate, "its CKA_ALWAYS_AUTHENTICATE is true"));
        }
        Ok(Key { token: self, handle })
    }

    fn names(&self, keys: &[ObjectHandle]) -> Vec<String> {
        let name = |key: &ObjectHandle| {
            let label = match self.attribute(*key, AttributeType::Label) {
                Ok(Some(Attribute::Label(label))) => String::from_utf8_lossy(&label).into_owned(),
                _ => String::new(),
            };
            let id: String = self.id(*key).iter().map(|byte| format!("%{byte:02x}")).collect();
            format!("object={label};id={id}")
        };
        keys.iter().take(NAMED).map(name).collect()
    }

    fn id(&self, key: ObjectHandle) -> Vec<u8> {
        match self.attribute(key, AttributeType::Id) {
            Ok(Some(Attribute::Id(id))) => id,
            _ => Vec::new(),
        }
    }

    /// One attribute, where the object has it and the token gives it away.
    fn attribute(&self, object: ObjectHandle, attribute: AttributeType) -> Result<Option<Attribute>, Failure> {
        Ok(self.session.get_attributes(object, &[attribute])?.pop())
    }

    /// Ends the session in order. What a library says to that changes nothing any more.
    pub fn close(self) {
        let _ = self.session.logout();
        let _ = self.session.close();
        let _ = self.library.finalize();
    }
}

fn find_token(library: &Pkcs11, wanted: &TokenQuery) -> Result<(Slot, TokenInfo), Failure> {
    let mut present = Vec::new();
    for slot in library.get_slots_with_token()? {
        // A slot whose token has just been pulled out is no reason to miss the one in the next.
        if let Ok(info) = library.get_token_info(slot)
            && info.token_initialized()
        {
            present.push((slot, info));
        }
    }
    let names = |tokens: &[(Slot, TokenInfo)]| {
        let name = |(slot, info): &(Slot, TokenInfo)| {
            format!(
                "token={};serial={};model={};slot-id={}",
                info.label(),
                info.serial_number(),
                info.model(),
                slot.id()
            )
        };
        tokens.iter().take(NAMED).map(name).collect::<Vec<_>>()
    };
    let (mut fitting, others): (Vec<_>, Vec<_>) =
        present.into_iter().partition(|(slot, info)| fits(wanted, *slot, info));
    match (fitting.len(), fitting.pop()) {
        (1, Some(token)) => Ok(token),
        (_, None) => Err(Failure::new(Code::NoToken, "no token fits").found(names(&others))),
        (count, Some(last)) => {
            fitting.push(last);
            Err(Failure::new(Code::AmbiguousToken, format!("{count} tokens fit")).found(names(&fitting)))
        }
    }
}

fn fits(wanted: &TokenQuery, slot: Slot, info: &TokenInfo) -> bool {
    let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
    is(&wanted.label, info.label())
        && is(&wanted.manufacturer, info.manufacturer_id())
        && is(&wanted.model, info.model())
        && is(&wanted.serial, info.serial_number())
        && wanted.slot.is_none_or(|wanted| wanted == slot.id())
}

fn pin_state(info: &TokenInfo) -> PinState {
    if info.user_pin_locked() {
        PinState::Locked
    } else if info.user_pin_final_try() {
        PinState::Final
    } else if info.user_pin_count_low() {
        PinState::Low
    } else {
        PinState::Ok
    }
}

/// A private key in a token.
pub struct Key<'a> {
    token: &'a Token,
    handle: ObjectHandle,
}

impl Key<'_> {
    pub fn describe(&self) -> Result<Ready, Failure> {
        let known = self.token.library.get_mechanism_list(self.token.slot)?;
        let has = |mechanism: &Mechanism| known.contains(&kind(*mechanism));
        let all = [Mechanism::Ecdsa, Mechanism::Eddsa, Mechanism::RsaPssSha256];
        Ok(Ready { public: self.public()?, mechanisms: all.into_iter().filter(has).collect() })
    }

    /// The public half: what the private key says of it, else the public object beside it.
    fn public(&self) -> Result<Public, Failure> {
        let Some(Attribute::KeyType(kind)) = self.token.attribute(self.handle, AttributeType::KeyType)? else {
            return Err(Failure::new(Code::NoPublicHalf, "the private key does not say what it is"));
        };
        for object in std::iter::once(self.handle).chain(self.public_objects(kind)?) {
            if let Some(public) = self.attributes_of(object, kind)? {
                return Ok(public);
            }
        }
        let nothing = "neither the private key nor a public key with the same id and type says it";
        Err(Failure::new(Code::NoPublicHalf, nothing))
    }

    /// Public keys with the private key's id; those with its label first.
    fn public_objects(&self, kind: KeyType) -> Result<Vec<ObjectHandle>, Failure> {
        let label = self.token.attribute(self.handle, AttributeType::Label)?;
        let id = Attribute::Id(self.token.id(self.handle));
        let template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::KeyType(kind), id];
        let same_label: Vec<Attribute> = template.iter().cloned().chain(label).collect();
        let mut found = self.token.session.find_objects(&same_label)?;
        found.extend(self.token.session.find_objects(&template)?);
        Ok(found)
    }

    fn attributes_of(&self, object: ObjectHandle, kind: KeyType) -> Result<Option<Public>, Failure> {
        let read = |attribute| self.token.attribute(object, attribute);
        if kind == KeyType::RSA {
            let numbers = (read(AttributeType::Modulus)?, read(AttributeType::PublicExponent)?);
            if let (Some(Attribute::Modulus(modulus)), Some(Attribute::PublicExponent(exponent))) = numbers
                && !modulus.is_empty()
                && !exponent.is_empty()
            {
                return Ok(Some(Public::Rsa { modulus: Bytes(modulus), exponent: Bytes(exponent) }));
            }
        } else if kind == KeyType::EC || kind == KeyType::EC_EDWARDS {
            let curve = (read(AttributeType::EcParams)?, read(AttributeType::EcPoint)?);
            if let (Some(Attribute::EcParams(params)), Some(Attribute::EcPoint(point))) = curve
                && !point.is_empty()
            {
                let (params, point) = (Bytes(params), Bytes(point));
                let is_edwards = kind == KeyType::EC_EDWARDS;
                return Ok(Some(if is_edwards {
                    Public::Edwards { params, point }
                } else {
                    Public::Ec { params, point }
                }));
            }
        }
        Ok(match read(AttributeType::PublicKeyInfo)? {
            Some(Attribute::PublicKeyInfo(info)) if !info.is_empty() => Some(Public::Info(Bytes(info))),
            _ => None,
        })
    }

    pub fn sign(&self, sign: &Sign) -> Result<Signed, Failure> {
        let mechanism = match sign.mechanism {
            Mechanism::Ecdsa => Pkcs11Mechanism::Ecdsa,
            Mechanism::Eddsa => Pkcs11Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
            Mechanism::RsaPssSha256 => Pkcs11Mechanism::RsaPkcsPss(PkcsPssParams {
                hash_alg: MechanismType::SHA256,
                mgf: PkcsMgfType::MGF1_SHA256,
                s_len: 32.into(),
            }),
        };
        let signature = self.token.session.sign(&mechanism, self.handle, &sign.data.0)?;
        Ok(Signed { signature: Bytes(signature) })
    }
}

fn kind(mechanism: Mechanism) -> MechanismType {
    match mechanism {
        Mechanism::Ecdsa => MechanismType::ECDSA,
        Mechanism::Eddsa => MechanismType::EDDSA,
        Mechanism::RsaPssSha256 => MechanismType::RSA_PKCS_PSS,
    }
}
