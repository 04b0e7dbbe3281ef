//! A serde serializer whose output is a hash. Fields come without names: adding one changes the hash, as it changes the
//! bytes on disk.

use serde::ser::{self, Serialize};
use std::fmt;

use super::hash::Hash128;

/// Feeds whatever is serialised into a hash.
pub struct HashSerializer<'h>(pub &'h mut Hash128);

/// Never made by our types: serde wants a type that a `Serialize` could fail with.
#[derive(Debug)]
pub struct Never(String);

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// A compound value: its parts are fed as they come, then their number.
pub struct Parts<'h> {
    hash: &'h mut Hash128,
    count: u64,
}

impl<'h> Parts<'h> {
    fn new(hash: &'h mut Hash128, tag: u64) -> Self {
        hash.word(tag);
        Self { hash, count: 0 }
    }

    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.count += 1;
        value.serialize(HashSerializer(self.hash))
    }

    fn close(self) -> Result<(), Never> {
        self.hash.word(self.count);
        Ok(())
    }
}

/// Methods of [`HashSerializer`] that feed one word.
macro_rules! words {
    ($($method:ident($type:ty)),+ $(,)?) => {
        $(fn $method(self, value: $type) -> Result<(), Never> {
            self.0.word(value as u64);
            Ok(())
        })+
    };
}

/// Methods of [`HashSerializer`] that open a compound value. The tag goes first: the index of a variant, 0 for the rest.
macro_rules! compounds {
    ($($method:ident($($argument:ident: $type:ty),+) tag $tag:expr),+ $(,)?) => {
        $(fn $method(self, $($argument: $type),+) -> Result<Parts<'h>, Never> {
            Ok(Parts::new(self.0, u64::from($tag)))
        })+
    };
}

/// How parts reach [`Parts`]: by these methods of this trait, each with what precedes the value.
macro_rules! parts {
    ($($trait:ident: $($method:ident($($name:ty)?)),+);+ $(;)?) => {
        $(impl ser::$trait for Parts<'_> {
            type Ok = ();
            type Error = Never;
            $(fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Result<(), Never> {
                self.part(value)
            })+
            fn end(self) -> Result<(), Never> {
                self.close()
            }
        })+
    };
}

parts! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeMap: serialize_key(), serialize_value();
    SerializeStruct: serialize_field(&'static str);
    SerializeStructVariant: serialize_field(&'static str);
}

impl<'h> ser::Serializer for HashSerializer<'h> {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Parts<'h>;
    type SerializeTuple = Parts<'h>;
    type SerializeTupleStruct = Parts<'h>;
    type SerializeTupleVariant = Parts<'h>;
    type SerializeMap = Parts<'h>;
    type SerializeStruct = Parts<'h>;
    type SerializeStructVariant = Parts<'h>;

    words! {
        serialize_bool(bool), serialize_char(char),
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
    }

    compounds! {
        serialize_seq(_length: Option<usize>) tag 0u32,
        serialize_tuple(_length: usize) tag 0u32,
        serialize_tuple_struct(_name: &'static str, _length: usize) tag 0u32,
        serialize_tuple_variant(_name: &'static str, index: u32, _variant: &'static str, _length: usize) tag index,
        serialize_map(_length: Option<usize>) tag 0u32,
        serialize_struct(_name: &'static str, _length: usize) tag 0u32,
        serialize_struct_variant(_name: &'static str, index: u32, _variant: &'static str, _length: usize) tag index,
    }

    fn serialize_i128(self, value: i128) -> Result<(), Never> {
        self.serialize_u128(value as u128)
    }

    fn serialize_u128(self, value: u128) -> Result<(), Never> {
        self.0.word(value as u64);
        self.0.word((value >> 64) as u64);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Never> {
        self.0.word(u64::from(value.to_bits()));
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Never> {
        self.0.word(value.to_bits());
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Never> {
        self.0.bytes(value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Never> {
        self.0.bytes(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Never> {
        self.0.word(0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Never> {
        self.0.word(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Never> {
        self.0.word(u64::from(index));
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        self.0.word(u64::from(index));
        value.serialize(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
